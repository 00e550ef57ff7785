# Debian packages the engine suites need: installed when missing, and without letting any of them start a service.

# What each command comes from. The engine, its runtime, what a network namespace of its own takes; other processors; a
# machine to lay the overlay on; a device behind SSH, a terminal.
PACKAGE_OF_COMMAND="dockerd:docker.io containerd:containerd runc:runc iptables:iptables ip:iproute2
docker-registry:docker-registry sqlite3:sqlite3 strace:strace nsenter:util-linux openssl:openssl curl:curl
qemu-aarch64-static:qemu-user-static debootstrap:debootstrap mkfs.ext4:e2fsprogs dbus-daemon:dbus-daemon
sshd:openssh-server dropbear:dropbear-bin script:bsdutils"

# Installs the browser the page is tested in. Its packages are many, so only who needs it waits for it.
browser_install() {
  command -v chromium >/dev/null && return 0
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
  say "installing from Debian: chromium"
  { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium fonts-liberation; } \
    >"$LOGS/browser.log" 2>&1 && return 0
  tail -n 20 "$LOGS/browser.log"
  return 1
}

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

# Leaves Prometheus' own checker in PROMTOOL, taken out of its package: nothing of it is installed and nothing starts. Its
# tests are skipped where that is not possible.
promtool_fetch() {
  local folder=$LOGS/../test-tools
  PROMTOOL=$(command -v promtool || true)
  [ -z "$PROMTOOL" ] || return 0
  mkdir -p "$folder" && folder=$(cd "$folder" && pwd)
  if [ ! -x "$folder/promtool" ] && command -v apt-get >/dev/null; then
    # The index may be as old as the machine.
    (cd "$folder" && { apt-get download prometheus || { apt-get update && apt-get download prometheus; }; } \
      && dpkg-deb --fsys-tarfile prometheus_*.deb | tar -xO ./usr/bin/promtool >promtool.new \
      && chmod 755 promtool.new && mv promtool.new promtool; rm -f prometheus_*.deb) >"$LOGS/promtool.log" 2>&1 || true
  fi
  [ ! -x "$folder/promtool" ] || PROMTOOL=$folder/promtool
}
