# What is done in a machine that systemd has booted: the package is in /frontgate.deb, and the network has nobody else. Every wait has an end.
export LC_ALL=C DEBIAN_FRONTEND=noninteractive
began=$(date +%s)
step() { echo "--- $1, after $(($(date +%s) - began)) s"; }
property() { systemctl show --property="$1" --value frontgate.service; }
main() { property MainPID; }
state() { echo "$(property ActiveState) $(property Result) $(property ExecMainStatus)"; }
log() { journalctl --unit=frontgate.service --no-pager --output=cat; }
await() {
    tries=0
    until eval "$1"; do
        tries=$((tries + 1))
        [ $tries -lt 600 ] || { echo "in vain: $1"; return 1; }
        sleep 0.1
    done
}
# Whether another process than $1 serves.
serves_after() { await '[ "$(main)" != '"$1"' ] && [ "$(main)" != 0 ] && [ "$(property ActiveState)" = active ]'; }
# Asks one after the other until it is told to end.
ask_all_the_time() {
    rm -f /over /asked
    (
        asked=0 failed=0
        while [ ! -e /over ]; do
            curl --silent --max-time 30 --output /dev/null "$1" || failed=$((failed + 1))
            asked=$((asked + 1))
            echo "$asked $failed" > /asking && mv /asking /asked
        done
    ) &
    asking=$!
    await '[ -e /asked ]'
}
asked() {
    # Some after what was done, too.
    enough=$(($(cut -d " " -f 1 /asked) + 5))
    await '[ "$(cut -d " " -f 1 /asked)" -ge '$enough' ]'
    touch /over
    wait $asking
    echo "$1: failed $(cut -d " " -f 2 /asked)"
}
drop_in() {
    mkdir -p /run/systemd/system/frontgate.service.d
    printf '[Service]\n%s\n' "$1" > /run/systemd/system/frontgate.service.d/test.conf
    systemctl daemon-reload
}
echo "booted"

step "installed"
dpkg -i /frontgate.deb || exit 1
echo "it is $(systemctl is-active frontgate.service) and $(systemctl is-enabled frontgate.service), status: $(property StatusText)"
frontgate check --strict -c /etc/frontgate
echo "strict: $?"
echo "answers: $(curl --silent http://127.0.0.1:8080/)"
echo "runs as $(stat --format=%U /proc/$(main)/), rights $(grep CapEff /proc/$(main)/status | cut -f 2), no new ones $(grep NoNewPrivs /proc/$(main)/status | cut -f 2), seccomp $(grep Seccomp: /proc/$(main)/status | cut -f 2)"
# As many as the unit says, or as the machine has to give.
hard() { awk '/Max open files/ {print $5}' /proc/$1/limits; }
most=$(hard 1)
[ "$most" -lt 1048576 ] || most=1048576
[ "$(hard $(main))" = "$most" ] && echo "descriptors: all"

step "reloaded"
cp /etc/frontgate/frontgate.yaml /good
before=$(main)
sed -i 's/it works/it was changed/' /etc/frontgate/frontgate.yaml
systemctl reload frontgate
echo "reload: $?, $(curl --silent http://127.0.0.1:8080/)"
echo "nonsense: 1" >> /etc/frontgate/frontgate.yaml
systemctl reload frontgate
echo "bad reload: $?, $(property ActiveState), $(curl --silent http://127.0.0.1:8080/)"
cp /good /etc/frontgate/frontgate.yaml
systemctl reload frontgate
changed=$(property StateChangeTimestampMonotonic)
systemctl kill --signal=HUP --kill-who=main frontgate
await '[ "$(property StateChangeTimestampMonotonic)" != '"$changed"' ] && [ "$(property ActiveState)" = active ]' && echo "HUP is a reload to systemd, too"
[ "$(main)" = "$before" ] && echo "by one process"

step "a bad configuration at the start"
echo "nonsense: 1" >> /etc/frontgate/frontgate.yaml
systemctl restart frontgate
await '[ "$(property ActiveState)" = failed ]'
echo "bad start: $(state), tried again: $(property NRestarts)"
log | grep --max-count=1 nonsense
cp /good /etc/frontgate/frontgate.yaml
# Half of it is long enough for a process that has to share a busy machine.
drop_in "WatchdogSec=16s"
systemctl start frontgate
echo "start: $?"

step "killed"
before=$(main)
kill -KILL "$before"
serves_after "$before" && echo "killed: it serves again"

step "where it may write"
for place in / /etc /etc/frontgate /usr /var /var/lib /var/log /run /home /root /dev /sys /proc/sys /var/lib/frontgate /var/log/frontgate /run/frontgate /tmp; do
    nsenter --target "$(main)" --mount -- setpriv --reuid=frontgate --regid=frontgate --init-groups \
        sh -c 'touch $0/probe 2> /dev/null && rm $0/probe && echo "writes: $0"' $place
done
# Not even root can, where it runs.
nsenter --target "$(main)" --mount -- touch /etc/probe /usr/probe /var/lib/probe 2> /dev/null
[ ! -e /etc/probe ] && [ ! -e /usr/probe ] && [ ! -e /var/lib/probe ] && echo "read-only for root"
touch /tmp/outside
nsenter --target "$(main)" --mount -- test -e /tmp/outside || echo "a /tmp of its own"

step "a log that is rotated"
logrotate --force --state /var/lib/logrotate/status /etc/logrotate.d/frontgate
echo "logrotate: $?"
await 'curl --silent --output /dev/null http://127.0.0.1:8080/rotated; grep --quiet /rotated /var/log/frontgate/access.log'
stat --format='%n %U %G %a' /var/log/frontgate/access.log /var/log/frontgate/access.log.1
grep --quiet /var/log/frontgate/access.log /var/lib/logrotate/status && echo "its state is kept"

step "a new version"
before=$(main)
dpkg -i /frontgate.deb
[ "$(main)" = "$before" ] && echo "the one before serves on"
install -D -m 644 /usr/share/doc/frontgate/examples/upgrade.conf /etc/systemd/system/frontgate.service.d/upgrade.conf
systemctl daemon-reload
ask_all_the_time http://127.0.0.1:8080/
for time in first second; do
    before=$(main)
    systemctl reload --no-block frontgate
    await '[ -S /run/frontgate/upgrade.sock ] || [ "$(main)" != '"$before"' ]'
    # As logrotate does, whoever serves just now.
    systemctl kill --signal=USR1 frontgate
    serves_after "$before" && echo "$time upgrade: 0"
    await '[ ! -e /proc/'"$before"' ]'
done
asked "upgrades"
serves=$(main)
echo "nonsense: 1" >> /etc/frontgate/frontgate.yaml
systemctl reload frontgate
echo "bad upgrade: $?, $(property ActiveState)"
cp /good /etc/frontgate/frontgate.yaml
[ "$(main)" = "$serves" ] && echo "and the one before serves on"
# Longer than the watchdog waits.
sleep 17
[ "$(main)" = "$serves" ] && [ "$(property ActiveState)" = active ] && echo "after an upgrade the watchdog is content"

step "frozen"
kill -STOP "$serves"
serves_after "$serves" && log | grep --max-count=1 "Failed with result 'watchdog'"
rm /etc/systemd/system/frontgate.service.d/upgrade.conf

step "ended with a request in flight"
cat > /slow.pl <<'PERL'
use IO::Socket::INET;
my $socket = IO::Socket::INET->new(LocalAddr => "127.0.0.1:3000", Listen => 9, ReuseAddr => 1) or die;
while (my $client = $socket->accept) {
    while (<$client>) { last if /^\r?\n/ }
    open my $file, ">", "/in-flight"; close $file;
    select undef, undef, undef, 5;
    print $client "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nslow";
}
PERL
perl /slow.pl &
cat > /etc/frontgate/frontgate.yaml <<'YAML'
version: 1
server:
  listeners: [{name: web, address: 0.0.0.0:80}]
  admin: 127.0.0.1:9901
  drain: {timeout: 30s}
upstreams: {slow: {endpoints: [127.0.0.1:3000]}}
routes: [{name: slow, path: "/**", upstream: slow}, {name: welcome, path: /, respond: {status: 200}}]
YAML
# The drain of the configuration is longer than what the unit gives.
drop_in "TimeoutStopSec=2s"
systemctl restart frontgate
echo "port 80: $?"
curl --silent --max-time 60 --output /slow --write-out '%{http_code}' http://127.0.0.1/slow > /code &
slow=$!
await '[ -e /in-flight ]'
systemctl stop frontgate
echo "stop: $?, $(state)"
wait $slow
echo "in flight: $(cat /code) $(cat /slow)"

step "sockets of systemd"
printf '[Socket]\nListenStream=0.0.0.0:81\nFileDescriptorName=web\n' > /etc/systemd/system/frontgate.socket
systemctl daemon-reload
systemctl start frontgate.socket
echo "before the first: $(property ActiveState)"
echo "the first: $(curl --silent --max-time 30 --output /dev/null --write-out '%{http_code}' http://127.0.0.1:81/), $(property ActiveState)"
ask_all_the_time http://127.0.0.1:81/
systemctl restart frontgate
echo "restart: $?"
asked "restarts"
systemctl stop frontgate.socket

step "removed"
dpkg --purge frontgate
systemctl is-active --quiet frontgate.service || echo "it has ended"
[ ! -e /etc/frontgate ] && [ ! -e /var/log/frontgate ] && [ ! -e /var/lib/frontgate ] && echo "nothing is left"
step "done"
