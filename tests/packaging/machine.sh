# A machine: this one's files below, and above them what is changed; processes, mounts and a network of its own. $1 is an empty folder, $2 the
# package, $3 what is done there.
set -eu
mount --make-rprivate /
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
mount -t proc proc "$1/root/proc"
mount --rbind /dev "$1/root/dev"
mount -t tmpfs tmpfs "$1/root/run"
cp "$2" "$1/root/frontgate.deb"
echo ready
exec chroot "$1/root" sh -c "$3"
