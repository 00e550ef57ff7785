//! Compose fields the agent does not carry out, each with its reason.

const NOT_IN_API: &str = "the engine's API 1.41 cannot set it";
const NOT_HERE: &str = "it only concerns the machine the release is built on";
const NO_SWARM: &str = "it concerns clusters of engines";
const NO_FILES: &str = "there are no files of the project on a device; use the environment or a volume";

/// Why a field of a service is left out; an empty text where nothing is lost by that.
pub fn reason(field: &str) -> Option<&'static str> {
    Some(match field {
        // Done before the release reached the device, or said in the target itself.
        "build" | "image" | "profiles" | "contract" => "",
        "mac_address" | "annotations" | "start_interval" => NOT_IN_API,
        "links" | "external_links" => "services find each other by name on their networks",
        "secrets" | "configs" | "env_file" | "label_file" | "extends" => NO_FILES,
        "container_name" => "containers are named by the agent",
        "scale" => "a service runs in one container",
        "deploy" => NO_SWARM,
        "volumes_from" => "mount the same named volume in both services",
        "gpus" => "use the label io.balena.features.gpu",
        "platform" | "pull_policy" => "the cloud says which image is pulled, and the agent when",
        "develop" | "attach" | "provider" => NOT_HERE,
        "isolation" | "credential_spec" | "cpu_count" | "cpu_percent" => "it concerns Windows only",
        "cpu_rt_period" | "cpu_rt_runtime" => "processor time is not given out in real time",
        "storage_opt" => "the engine's storage drivers on devices have no such options",
        "blkio_config" | "cgroup" | "uts" | "post_start" | "pre_stop" | "use_api_socket" | "models" => {
            "the agent does not carry it out"
        }
        _ => return None,
    })
}
