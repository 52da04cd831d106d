# Builds the image as the Dockerfile says, and runs it: nobody else's processes, mounts and network are concerned. $1 is an empty folder, $2 the
# Dockerfile, $3 the binary; the project is where this is. What is pulled elsewhere is stood in for: the base by the libraries of this machine, the
# toolchain by a shell and a `cargo` that has built already.
set -eu
mount --make-rprivate /
mount -t tmpfs tmpfs "$1"
ip link set lo up
place=$1
images() { buildah --storage-driver vfs --root "$place/storage" --runroot "$place/run" "$@"; }
# Puts programs and their libraries below $1, where they are here.
put() {
    into=$1
    shift
    mkdir -p "$into"
    for program in "$@"; do
        cp --parents --dereference "$program" $(ldd "$program" | grep --only-matching '/[^ ]*') "$into"
    done
}
# Keeps a folder as the image $1.
keep() {
    container=$(images from scratch)
    images copy --quiet "$container" "$2" / > /dev/null
    images config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
    images commit --quiet --rm "$container" "$1" > /dev/null
}
put "$place/tools" /bin/sh /bin/cp /bin/mkdir /bin/rm
mkdir -p "$place/tools/usr/local/bin" "$place/tools/built" "$place/tools/tmp"
objcopy --strip-all "$3" "$place/tools/built/frontgate"
printf '#!/bin/sh\nset -e\n[ -e Cargo.lock ] && [ -d src ] && [ -d filters ] && [ -d conf ]\nmkdir -p target/release\ncp /built/frontgate target/release/frontgate\n' \
    > "$place/tools/usr/local/bin/cargo"
printf '#!/bin/sh\n' | tee "$place/tools/usr/local/bin/apt-get" > "$place/tools/usr/local/bin/strip"
chmod +x "$place"/tools/usr/local/bin/*
put "$place/base" "$3"
rm "$place/base/$3"
mkdir -p "$place/base/proc" "$place/base/etc/ssl/certs"
cp /etc/ssl/certs/ca-certificates.crt "$place/base/etc/ssl/certs/"
set -- "$1" "$2" $(sed -n 's/^FROM \([^ ]*\).*/\1/p' "$2")
keep "docker.io/library/$3" "$place/tools"
keep "$4" "$place/base"
echo ready

images bud --quiet --isolation chroot --network host --pull-never --format docker --file "$2" --tag frontgate . > /dev/null
what() { images inspect --type image --format "$1" localhost/frontgate; }
user=$(what '{{.OCIv1.Config.User}}')
starts=$(what '{{range .OCIv1.Config.Entrypoint}}{{.}} {{end}}{{range .OCIv1.Config.Cmd}}{{.}} {{end}}')
asks=$(what '{{range .Docker.Config.Healthcheck.Test}}{{.}} {{end}}')
echo "starts as $user: $starts"
echo "asks: $asks"
root=$(images mount "$(images from --pull-never localhost/frontgate)")
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -o remount,bind,ro "$root"
inside() { chroot --userspec="$user" "$root" "$@"; }
chroot --userspec="$user" "$root" $starts & gateway=$!
for _ in $(seq 300); do
    inside ${asks#CMD } > /dev/null 2>&1 && break
    sleep 0.1
done
code=0; inside ${asks#CMD } > /dev/null || code=$?
echo "well: $code"
echo "answers: $(curl --silent http://127.0.0.1:8080/), ready: $(curl --silent --output /dev/null --write-out '%{http_code}' http://127.0.0.1:9902/readyz)"
echo "runs as $(stat --format=%u:%g /proc/$gateway/), rights $(grep CapEff /proc/$gateway/status | cut -f 2)"
touch "$root/probe" 2> /dev/null || echo "read-only"
inside /bin/sh -c true 2> /dev/null || echo "no shell"
kill -s "$(what '{{.OCIv1.Config.StopSignal}}' | sed s/^SIG//)" $gateway
code=0; wait $gateway || code=$?
echo "ended: $code"
code=0; inside ${asks#CMD } > /dev/null 2>&1 || code=$?
echo "not well any more: $code"
