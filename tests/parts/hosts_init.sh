# PID 1 of a throw-away host, until it becomes sshd. Runs in pid, mount, uts, ipc and network namespaces of its own.
#
# usage: sh hosts_init.sh BASE FOLDER NAME ADDRESS/BITS DISK_MB
# In: FOLDER has ssh_host_ed25519_key, authorized_keys and shadow, which are copied; eth0 comes from outside.
# Nothing of it is seen from outside: what is mounted here goes with the last process.
set -eu
base=$1 folder=$2 name=$3 address=$4 disk_mb=$5
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

mount --make-rprivate /
mount -t tmpfs -o "size=${disk_mb}m,mode=755" host "$folder/root"
mkdir "$folder/root/upper" "$folder/root/work" "$folder/root/merged"
mount -t overlay -o "lowerdir=$base,upperdir=$folder/root/upper,workdir=$folder/root/work" host "$folder/root/merged"
cd "$folder/root/merged"

mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t tmpfs -o size=1m,mode=755 dev dev
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
mount -t tmpfs -o size=64m,mode=1777 shm dev/shm
for device in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0; do
  IFS=: read -r file major minor <<END
$device
END
  mknod -m 666 "dev/$file" c "$major" "$minor"
done
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s /proc/self/fd/0 dev/stdin
ln -s /proc/self/fd/1 dev/stdout
ln -s /proc/self/fd/2 dev/stderr
mount -t tmpfs -o size=16m,mode=755 run run
mkdir -m 755 run/sshd run/lock

hostname "$name"
echo "$name" >etc/hostname
printf '127.0.0.1 localhost\n::1 localhost\n%s %s\n' "${address%/*}" "$name" >etc/hosts
install -m 600 "$folder/ssh_host_ed25519_key" etc/ssh/ssh_host_ed25519_key
install -m 640 -g shadow "$folder/shadow" etc/shadow
install -m 644 "$folder/authorized_keys" etc/ssh/authorized_keys

ip link set lo up
tries=0
until ip link show eth0 >/dev/null 2>&1; do # comes from outside, which had to know our process id first
  tries=$((tries + 1))
  [ "$tries" -le 500 ] || { echo "eth0 did not come" >&2; exit 1; }
  sleep 0.01
done
ip address add "$address" dev eth0
ip link set eth0 up

mkdir -p mnt/old
pivot_root . mnt/old
umount -l /mnt/old
cd /
exec /usr/sbin/sshd -D -e -o UseDNS=no -o UsePAM=no -o PermitRootLogin=prohibit-password \
  -o HostKey=/etc/ssh/ssh_host_ed25519_key -o AuthorizedKeysFile=/etc/ssh/authorized_keys </dev/null
