#!/bin/sh
# Installs the servers and tools that tests start, where they are missing and this can be done; says how otherwise.
# "slow" as its argument adds those that only the slow tests need.
missing=""
[ "$1" != slow ] || command -v soffice >/dev/null || missing="$missing libreoffice-calc-nogui"
[ "$1" != slow ] || [ -x /usr/bin/chromium ] || missing="$missing chromium"
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$missing postgresql"
command -v ngircd >/dev/null || [ -x /usr/sbin/ngircd ] || missing="$missing ngircd"
[ "$1" != slow ] || command -v promtool >/dev/null || missing="$missing prometheus"
[ "$1" != slow ] || command -v pgbouncer >/dev/null || [ -x /usr/sbin/pgbouncer ] || missing="$missing pgbouncer"
[ "$1" != slow ] || ls /usr/lib/*/faketime/libfaketimeMT.so.1 >/dev/null 2>&1 || missing="$missing faketime"
command -v strace >/dev/null || missing="$missing strace"
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing for the tests:$missing …"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
else
    echo "Some tests start servers that are missing here and will fail. On Debian: sudo apt-get install$missing"
fi
