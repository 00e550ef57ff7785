//! The containers a release asks for, in the words both the plan and the engine use.
//!
//! [`ContainerSpec`] is what the engine is given and what is read back from it; [`specify`] makes the wanted one from a
//! service of the target, [`differences`] names the fields in which a present container differs from it.

mod comparison;
mod environment;
mod features;
mod made_from;
mod name;
mod options;
mod spec;
mod specify;
mod supervisor_network;

pub use comparison::differences;
pub use made_from::{MADE_FROM_LABEL, is_as_made, is_network_as_made};
pub use name::{ContainerName, HANDING_OVER_PREFIX};
pub use options::{
    DEFAULT_SHM_SIZE_BYTES, DEFAULT_STOP_GRACE_PERIOD_S, Device, Healthcheck, Logging, Options, RestartPolicy, Ulimit,
};
pub(crate) use spec::Names;
pub use spec::{ContainerSpec, Endpoint, ImageConfig, Mount, NetworkMode, Port, PortBinding, Protocol};
pub use specify::{container_name, network_name, specify, volume_name, volume_owner};
pub use supervisor_network::{SUPERVISOR_GATEWAY, SUPERVISOR_NETWORK, SUPERVISOR_SUBNET};
