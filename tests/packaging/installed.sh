# What is done in a machine of its own: the package is in /frontgate.deb, and the network has nobody else.
set -eu
ip link set lo up
dpkg -i /frontgate.deb
echo "user: $(getent passwd frontgate | cut -d: -f6,7)"
stat -c '%n %U %G %a' /etc/frontgate /var/lib/frontgate /var/log/frontgate
if command -v systemd-analyze >/dev/null; then
    systemd-analyze verify --man=no /lib/systemd/system/frontgate.service
    echo "verified"
fi
[ -e /etc/systemd/system/multi-user.target.wants/frontgate.service ] && echo "enabled"

as_frontgate="setpriv --reuid=frontgate --regid=frontgate --init-groups --inh-caps=-all --bounding-set=-all --no-new-privs env -i"
$as_frontgate /usr/bin/frontgate check -c /etc/frontgate
$as_frontgate /usr/bin/frontgate run -c /etc/frontgate & gateway=$!
for _ in $(seq 300); do
    frontgate status -c /etc/frontgate >/dev/null 2>&1 && break
    sleep 0.1
done
echo "runs as: $(stat -c %U /proc/$gateway/)"
echo "answers: $(curl -s http://127.0.0.1:8080/)"
for _ in $(seq 100); do
    [ -s /var/log/frontgate/access.log ] && break
    sleep 0.1
done
stat -c '%n %U' /var/log/frontgate/access.log
frontgate reload -c /etc/frontgate
kill -TERM $gateway
code=0; wait $gateway || code=$?
echo "ended: $code"

echo "# mine" >> /etc/frontgate/frontgate.yaml
dpkg -i /frontgate.deb
echo "kept: $(tail -n 1 /etc/frontgate/frontgate.yaml)"
dpkg --remove frontgate
[ ! -e /usr/bin/frontgate ] && [ -e /etc/frontgate/frontgate.yaml ] && [ -d /var/log/frontgate ] && echo "removed, and what is the operator's stays"
dpkg --purge frontgate
[ ! -e /etc/frontgate/frontgate.yaml ] && [ ! -e /var/log/frontgate ] && [ ! -e /var/lib/frontgate ] && echo "purged"
