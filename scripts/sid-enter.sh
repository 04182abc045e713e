#!/bin/sh
# Runs a program in the Debian tree, with what it needs of the host. scripts/pythons.py starts this in a
# mount namespace of its own, with which the mounts vanish.
# Arguments: the tree, the repository, the working folder, the program and its arguments.
set -e
root=$1 repo=$2 cwd=$3
shift 3
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
for place in /proc /sys /dev "$repo"; do
    mkdir -p "$root$place"
    mount --rbind "$place" "$root$place"
done
# Names, certificates and the package client's settings, so that pip works as on the host.
for file in /etc/resolv.conf /etc/hosts /etc/pip.conf; do
    if [ -e "$file" ]; then
        touch "$root$file"
        mount --bind "$file" "$root$file"
        mount -o remount,bind,ro "$root$file"
    fi
done
if [ -d /etc/ssl/certs ]; then
    mkdir -p "$root/etc/ssl/certs"
    mount --bind /etc/ssl/certs "$root/etc/ssl/certs"
    mount -o remount,bind,ro "$root/etc/ssl/certs"
fi
exec chroot "$root" /bin/sh -c 'cd "$0" && exec "$@"' "$cwd" "$@"
