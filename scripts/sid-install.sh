#!/bin/sh
# Runs apt-get in the Debian tree. scripts/pythons.py starts this in a mount namespace of its own.
# Nothing of the host is in reach but /proc: a package's scripts write where they like (those of
# ca-certificates rewrite /etc/ssl/certs).
# Arguments: the tree, the program and its arguments.
set -e
root=$1
shift
mount --make-rprivate /
mount -t proc proc "$root/proc"
cat /etc/resolv.conf > "$root/etc/resolv.conf"
cat /etc/hosts > "$root/etc/hosts"
exec chroot "$root" "$@"
