# A private dockerd and registry: a folder and a network namespace of their own, so that neither the machine's own engine
# nor its firewall is touched, and so that several checkouts can run side by side.

ENGINE_PREFIX=/var/tmp/holdfast-tests

# Starts both; on success ENGINE_DIR, ENGINE_NETNS and ENGINE_SOCKET say where they are. With ENGINE_DISK_MIB the engine
# keeps its data on a disk of that size, in memory.
engine_start() {
  engine_sweep
  ENGINE_DIR=$(mktemp -d "$ENGINE_PREFIX.XXXXXX") || return 1
  # Everybody's containers may have to look in here; secrets there are none.
  chmod 755 "$ENGINE_DIR"
  engine_owner "${ENGINE_OWNER:-$$}" >"$ENGINE_DIR/owner"
  ENGINE_NETNS=hf-${ENGINE_DIR##*.}
  ENGINE_SOCKET=$ENGINE_DIR/docker.sock
  mkdir "$ENGINE_DIR/data" || return 1
  if [ -n "${ENGINE_DISK_MIB:-}" ]; then
    mount -t tmpfs -o "size=${ENGINE_DISK_MIB}m" holdfast-tests "$ENGINE_DIR/data" || return 1
  fi
  ip netns add "$ENGINE_NETNS" && ip -n "$ENGINE_NETNS" link set lo up || return 1
  engine_write_runtime
  engine_launch_dockerd
  engine_launch_registry
  engine_wait "$ENGINE_DIR/dockerd.log" 'API listen on' || { tail -n 15 "$ENGINE_DIR/dockerd.log"; return 1; }
  engine_wait "$ENGINE_DIR/registry.log" 'listening on' || { tail -n 15 "$ENGINE_DIR/registry.log"; return 1; }
}

# Some machines (virtual ones, CI) lack CAP_SYS_RESOURCE even for root; runc then refuses privileged containers. The
# wrapper drops just that capability from what is asked for.
engine_write_runtime() {
  cat >"$ENGINE_DIR/runtime" <<WRAPPER
#!/bin/sh
previous= bundle=
for word in "\$@"; do
  case "\$previous" in --bundle|-b) bundle=\$word ;; esac
  previous=\$word
done
[ -z "\$bundle" ] || sed -i 's/,"CAP_SYS_RESOURCE"//g; s/"CAP_SYS_RESOURCE",//g' "\$bundle/config.json"
exec $(command -v runc) "\$@"
WRAPPER
  chmod 755 "$ENGINE_DIR/runtime"
}

# The command line lies in a file, because suites that need an engine they may kill start a second one like it.
engine_launch_dockerd() {
  local driver=overlay2
  # An overlay cannot lie on an overlay.
  case $(stat -f -c %T "$ENGINE_DIR/data") in overlay*) driver=vfs ;; esac
  echo "$driver" >"$ENGINE_DIR/storage-driver"
  # `ip netns exec` would remount /sys and hide the control groups; nsenter leaves them alone.
  nsenter --net="/run/netns/$ENGINE_NETNS" dockerd \
    --data-root "$ENGINE_DIR/data" --exec-root "$ENGINE_DIR/exec" --pidfile "$ENGINE_DIR/docker.pid" \
    -H "unix://$ENGINE_SOCKET" --storage-driver "$driver" --shutdown-timeout 5 \
    --bip 10.199.0.1/24 --default-address-pool base=10.198.0.0/16,size=26 \
    --add-runtime "tested=$ENGINE_DIR/runtime" --default-runtime tested >"$ENGINE_DIR/dockerd.log" 2>&1 &
  echo $! >"$ENGINE_DIR/dockerd.child"
}

engine_launch_registry() {
  cat >"$ENGINE_DIR/registry.yml" <<YAML
version: 0.1
log: {level: info, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $ENGINE_DIR/registry}, delete: {enabled: true}}
http: {addr: "127.0.0.1:5000"}
YAML
  nsenter --net="/run/netns/$ENGINE_NETNS" docker-registry serve "$ENGINE_DIR/registry.yml" >"$ENGINE_DIR/registry.log" 2>&1 &
  echo $! >"$ENGINE_DIR/registry.child"
}

# Waits up to 30 s for a line in a log.
engine_wait() {
  local tenths
  for tenths in $(seq 300); do
    grep -q "$2" "$1" 2>/dev/null && return 0
    sleep 0.1
  done
  echo "not ready after 30 s ($((tenths / 10)) s): $1 has no '$2'"
  return 1
}

# Stops everything that was started under a folder, and removes it. Also works on what a killed run left behind.
engine_stop() {
  local dir=$1 child
  case $dir in "$ENGINE_PREFIX".*) ;; *) return 1 ;; esac
  for child in "$dir"/*.child; do
    [ -f "$child" ] && engine_end_process "$(cat "$child")" "$dir"
  done
  engine_end_orphans "$dir"
  # Innermost mounts first.
  awk -v dir="$dir/" 'index($5, dir) == 1 { print $5 }' /proc/self/mountinfo | sort -r | while read -r mount; do
    umount -l "$mount" 2>/dev/null || true
  done
  ip netns del "hf-${dir##*.}" 2>/dev/null || true
  rm -rf --one-file-system "$dir"
}

# Ends one process by its id, if it is still ours: gently first, so that dockerd stops its containers.
engine_end_process() {
  local pid=$1 dir=$2 tenths
  { tr '\0' ' ' <"/proc/$pid/cmdline"; } 2>/dev/null | grep -qF "$dir/" || return 0
  kill "$pid" 2>/dev/null || return 0
  for tenths in $(seq 150); do
    [ -d "/proc/$pid" ] || return 0
    case $(sed -n 's/^State:\t\(.\).*/\1/p' "/proc/$pid/status" 2>/dev/null) in Z | '') return 0 ;; esac
    sleep 0.1
  done
  echo "process $pid did not end within $((tenths / 10)) s and is killed"
  kill -KILL "$pid" 2>/dev/null || true
}

# A killed dockerd leaves containerd, shims and the containers' processes. Each names our folder on its command line, or
# is a child of one that does.
engine_end_orphans() {
  local dir=$1 file pid shim
  for file in /proc/[0-9]*/cmdline; do
    pid=${file#/proc/} pid=${pid%/cmdline}
    [ "$pid" != $$ ] && [ "$pid" != "$BASHPID" ] || continue
    { tr '\0' ' ' <"$file"; } 2>/dev/null | grep -qF "$dir/exec/" || continue
    for shim in $(cat "/proc/$pid/task/$pid/children" 2>/dev/null); do kill -KILL "$shim" 2>/dev/null || true; done
    kill -KILL "$pid" 2>/dev/null || true
  done
}

# Cleans up after runs that were killed: their folders are there but the process that owned them is not.
engine_sweep() {
  local dir owner
  for dir in "$ENGINE_PREFIX".??????; do
    [ -d "$dir" ] || continue
    owner=$(cat "$dir/owner" 2>/dev/null || true)
    if [ -z "$owner" ]; then
      # Being made this very moment, unless it is old.
      [ -n "$(find "$dir" -maxdepth 0 -mmin +5)" ] || continue
    elif [ "$(engine_owner "${owner% *}")" = "$owner" ]; then
      continue
    fi
    say "cleaning up after an earlier run: $dir"
    engine_stop "$dir" || true
  done
}

# A process by id and start time: ids are used again. Prints nothing when there is no such process.
engine_owner() {
  sed -E "s/^([0-9]+) \(.*\) ([^ ]+ ){19}([^ ]+) .*/\1 \3/" "/proc/$1/stat" 2>/dev/null || true
}
