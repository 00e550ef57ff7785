# Debian packages the engine suites need: installed when missing, and without letting any of them start a service.

# What each command comes from. The engine, its runtime, what a network namespace of its own takes; other processors; a
# machine to lay the overlay on; a device behind SSH, a terminal.
PACKAGE_OF_COMMAND="dockerd:docker.io containerd:containerd runc:runc iptables:iptables ip:iproute2
docker-registry:docker-registry sqlite3:sqlite3 strace:strace nsenter:util-linux openssl:openssl
qemu-aarch64-static:qemu-user-static debootstrap:debootstrap mkfs.ext4:e2fsprogs dbus-daemon:dbus-daemon
sshd:openssh-server dropbear:dropbear-bin script:bsdutils"

# Prints the packages whose commands are not there.
packages_missing() {
  local pair
  for pair in $PACKAGE_OF_COMMAND; do
    command -v "${pair%%:*}" >/dev/null || echo "${pair#*:}"
  done
  # A dynamically linked busybox is of no use in an image made from nothing.
  busybox_is_static || echo busybox-static
}

busybox_is_static() {
  local busybox
  busybox=$(command -v busybox) && ! ldd "$busybox" >/dev/null 2>&1
}

# Installs what is missing. Nothing may start by itself: the machine's own engine is none of our business, so a policy
# refuses every start while apt runs, unless the machine has a policy already.
packages_install() {
  local missing policy=/usr/sbin/policy-rc.d placed=no result=0
  missing=$(packages_missing)
  [ -n "$missing" ] || return 0
  command -v apt-get >/dev/null || return 1
  say "installing from Debian:" $missing
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy" && placed=yes
  fi
  # shellcheck disable=SC2086
  { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing; } \
    >"$LOGS/packages.log" 2>&1 || result=1
  [ "$placed" = no ] || rm -f "$policy"
  [ "$result" = 0 ] || tail -n 20 "$LOGS/packages.log"
  return "$result"
}
