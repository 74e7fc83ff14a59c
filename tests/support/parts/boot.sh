#!/bin/sh
# Boots systemd as process 1 of name spaces of its own, over a copy-on-write view of this machine.
# Nothing of it reaches the machine: /dev has only what programs need, /sys and /proc/sys are
# read-only, and no unit runs but those that the target of the test asks for.
#
#   boot.sh FOLDER CGROUP UNITS SHARED...   (the last: what both sides see, at its own place)
set -e
folder=$1 cgroup=$2 units=$3
shift 3
root=$folder/root

if [ "$MONPROV_BOOT" != inside ]; then
    for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
        if [ -e "$hierarchy/cgroup.procs" ]; then
            mkdir -p "$hierarchy/$cgroup"
            echo $$ > "$hierarchy/$cgroup/cgroup.procs"
        fi
    done
    MONPROV_BOOT=inside exec unshare --mount --pid --fork --kill-child=KILL --uts --ipc --net --cgroup \
        --propagation private -- "$0" "$folder" "$cgroup" "$units" "$@"
fi

mkdir -p "$folder/layers" "$root"
mount -t tmpfs tmpfs "$folder/layers"
mkdir -p "$folder/layers/upper/etc/systemd/system" "$folder/layers/work"
cp "$units"/* "$folder/layers/upper/etc/systemd/system/"
# Would make the machine's devices, kernel settings and file systems its own.
ln -s /dev/null "$folder/layers/upper/etc/systemd/system/sysinit.target"
mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/layers/upper,workdir=$folder/layers/work" "$root"
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs tmpfs "$root/dev"
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mount -t sysfs -o ro sysfs "$root/sys"
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
else
    mount -t tmpfs tmpfs "$root/sys/fs/cgroup"
    mkdir "$root/sys/fs/cgroup/systemd" "$root/sys/fs/cgroup/unified"
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup/unified"
    mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/systemd"
fi
for shared in "$@"; do
    mkdir -p "$root$shared"
    mount --bind "$shared" "$root$shared"
done
exec chroot "$root" env -i container=monprov PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --system --log-target=console --show-status=false --unit=test.target
