# A machine of its own that systemd boots: this one's files below, and above them what is changed. $1 is an empty folder, $2 the package, $3 what is
# done there. What that says is said here, once the machine is off.
set -u
mount --make-rprivate / && mount -t tmpfs tmpfs "$1" && mkdir "$1/upper" "$1/work" "$1/root" || exit 1
root=$1/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$root" || exit 1
cp "$2" "$root/frontgate.deb"
printf '%s\n' "$3" > "$root/booted.sh"
# What would keep the package from starting its service, and what waits for a network that is not there.
rm -f "$root/usr/sbin/policy-rc.d"
# The index of all manual pages takes longer than the rest.
[ ! -e "$root/usr/bin/mandb" ] || ln -sf /bin/true "$root/usr/bin/mandb"
for unit in systemd-networkd-wait-online ifupdown-wait-online NetworkManager-wait-online; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit.service"
done
cat > "$root/etc/systemd/system/booted.service" <<UNIT
[Unit]
DefaultDependencies=no
Requires=basic.target
After=basic.target
SuccessAction=exit-force
FailureAction=exit-force
[Service]
Type=oneshot
ExecStart=/bin/sh /booted.sh
StandardOutput=file:/said
StandardError=file:/said
TimeoutStartSec=400
UNIT
printf '[Unit]\nRequires=booted.service\nAllowIsolate=yes\n' > "$root/etc/systemd/system/booted.target"

# In control groups of its own, where they are to be had: several may run at once.
groups=""
for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
    [ -e "$hierarchy/cgroup.procs" ] && mkdir "$hierarchy/frontgate-$$" && groups="$groups $hierarchy/frontgate-$$"
done
sh -c 'for group in '"$groups"'; do echo $$ > $group/cgroup.procs; done
    exec timeout --kill-after=10 420 systemd-nspawn --quiet --register=no --keep-unit --private-network --link-journal=no --console=pipe \
        --machine="frontgate-$1" --directory="$0" --boot systemd.unit=booted.target' "$root" $$ < /dev/null > "$1/console" 2>&1
echo "off: $?"
for group in $groups; do
    find "$group" -depth -type d -exec rmdir {} \; 2> /dev/null
done
[ -e "$root/said" ] && cat "$root/said"
echo "console: $(tail -n 20 "$1/console")"
