# A machine to lay the overlay on: a Debian root made by debootstrap and kept in target/, an overlay over it for each test,
# and a systemd of its own in namespaces of its own. Nothing of the machine below is started, stopped or written to.

# Where roots are kept; a root is made once.
MACHINE_ROOTS=${MACHINE_ROOTS:?}
MACHINE_MIRROR=${HOLDFAST_TEST_MIRROR:-http://deb.debian.org/debian}

# The release this machine runs, so that binaries built here run there.
machine_suite() { (. /etc/os-release && echo "${VERSION_CODENAME:-}"); }

# machine_root [SUITE]: prints the folder of a Debian root with systemd, which nobody may write to. Minutes the first time.
machine_root() {
  local suite=${1:-$(machine_suite)} root
  root=$MACHINE_ROOTS/$suite
  mkdir -p "$MACHINE_ROOTS"
  (
    flock 9
    [ ! -d "$root" ] || exit 0
    rm -rf --one-file-system "$root.new"
    debootstrap --variant=minbase --include=systemd,systemd-sysv,udev,dbus "$suite" "$root.new" "$MACHINE_MIRROR" \
      >"$root.log" 2>&1 || { tail -n 5 "$root.log" >&2; exit 1; }
    rm -rf "$root.new"/var/cache/apt/archives/*.deb "$root.new"/var/lib/apt/lists/*
    mv "$root.new" "$root"
  ) 9>"$MACHINE_ROOTS/lock" || return 1
  echo "$root"
}

# What both ways in begin with: $MACHINE becomes an overlay over the root in $1, writable and gone with the namespace.
MACHINE_MOUNTS='
  mount -t tmpfs -o mode=755 tmpfs "$MACHINE"
  mkdir "$MACHINE/upper" "$MACHINE/work" "$MACHINE/root"
  mount -t overlay overlay -o "lowerdir=$1,upperdir=$MACHINE/upper,workdir=$MACHINE/work" "$MACHINE/root"
  export MACHINE=$MACHINE/root
  mount -t proc proc "$MACHINE/proc"
  mount -t sysfs sysfs "$MACHINE/sys" -o ro
  mount -t tmpfs tmpfs "$MACHINE/run" -o mode=755
  mount -t tmpfs tmpfs "$MACHINE/dev" -o mode=755
  for node in null zero full random urandom tty; do
    : >"$MACHINE/dev/$node"; mount --bind "/dev/$node" "$MACHINE/dev/$node"
  done
  mkdir "$MACHINE/dev/shm" "$MACHINE/dev/pts"
  mount -t devpts devpts "$MACHINE/dev/pts" -o newinstance,ptmxmode=666,mode=620
  ln -s pts/ptmx "$MACHINE/dev/ptmx"
  shift
'

# machine_inside ROOT COMMAND…: runs a command in a mount namespace of its own where $MACHINE is the root.
machine_inside() {
  mkdir -p "$MACHINE_ROOTS/mount"
  MACHINE=$MACHINE_ROOTS/mount unshare --mount --propagation private \
    bash -euc "$MACHINE_MOUNTS"'exec "$@"' machine "$@"
}

# The folder in which control groups of the second version can be made.
machine_cgroups() {
  local folder
  for folder in /sys/fs/cgroup /sys/fs/cgroup/unified; do
    [ "$(stat -fc %T "$folder" 2>/dev/null)" = cgroup2fs ] && { echo "$folder"; return 0; }
  done
  return 1
}

# machine_boot ROOT SETUP: becomes a systemd that boots ROOT after SETUP (bash, with $MACHINE) ran over it; all of it ends
# with this process. Its messages go to standard output.
machine_boot() {
  local groups group stale
  groups=$(machine_cgroups) || { echo "no control groups of version 2"; return 1; }
  for stale in "$groups"/holdfast-machine-*; do
    [ ! -d "$stale" ] || [ -d "/proc/${stale##*-}" ] || find "$stale" -depth -type d -exec rmdir {} + 2>/dev/null || true
  done
  group=$groups/holdfast-machine-$$
  mkdir "$group" && echo $$ >"$group/cgroup.procs" || return 1
  mkdir -p "$MACHINE_ROOTS/mount"
  export MACHINE=$MACHINE_ROOTS/mount
  exec unshare --mount --pid --ipc --uts --net --cgroup --fork --kill-child --propagation private \
    bash -euc "$MACHINE_MOUNTS"'
      eval "$1"
      mount -t cgroup2 cgroup2 "$MACHINE/sys/fs/cgroup"
      cd "$MACHINE"
      mkdir -p .below
      pivot_root . .below
      umount -l .below
      exec env -i container=holdfast-test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        /lib/systemd/systemd' machine "$1" "$2"
}
