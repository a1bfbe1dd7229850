#!/bin/bash
# Packages built here, offered by a local repository, installed, upgraded and purged by apt.
. "$(dirname "$0")/../lib.sh"

mkdir repository
for version in 1 2; do
  mkdir -p thing/DEBIAN thing/usr/bin thing/etc/thing
  printf 'Package: thing\nVersion: %s\nArchitecture: all\nMaintainer: a <a@b>\nDepends: friend\nDescription: thing\n' $version >thing/DEBIAN/control
  printf '#!/bin/sh\necho thing %s with $(friend)\n' $version >thing/usr/bin/thing
  echo setting >thing/etc/thing/conf
  echo /etc/thing/conf >thing/DEBIAN/conffiles
  printf '#!/bin/sh\nset -e\nadduser --system --quiet --no-create-home thing-user || true\ntouch /var/lib/thing.made\n' >thing/DEBIAN/postinst
  printf '#!/bin/sh\nrm -f /var/lib/thing.made\n' >thing/DEBIAN/postrm
  chmod 755 thing/usr/bin/thing thing/DEBIAN/post*
  dpkg-deb -b thing "repository/thing_$version.deb" >/dev/null
done
mkdir -p friend/DEBIAN friend/usr/bin
printf 'Package: friend\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b>\nDescription: friend\n' >friend/DEBIAN/control
printf '#!/bin/sh\necho friend\n' >friend/usr/bin/friend
chmod 755 friend/usr/bin/friend
for i in $(seq 300); do mkdir -p "friend/usr/share/friend/$((i % 10))"; echo "$i" >"friend/usr/share/friend/$((i % 10))/$i"; done
dpkg-deb -b friend repository/friend.deb >/dev/null
offer() { (cd repository && mv -f "../$1" . 2>/dev/null || true; apt-ftparchive packages . >Packages); }
mv repository/thing_2.deb .
offer none
sources=/etc/apt/sources.list.d
mkdir -p saved && mv /etc/apt/sources.list* saved/ && mkdir -p $sources
echo "deb [trusted=yes] file:$work/repository ./" >$sources/local.list
export DEBIAN_FRONTEND=noninteractive
apt-get -q update >log 2>&1 || { cat log; fail update; }
apt-get -qy install thing >>log 2>&1 || { cat log; fail install; }
is thing "$(thing)" "thing 1 with friend"
is files "$(dpkg -L friend | grep -c 'friend/[0-9]*/')" 300
is "verified" "$(dpkg -V friend thing)" ""
offer thing_2.deb
apt-get -q update >>log 2>&1
apt-get -qy upgrade >>log 2>&1
is upgraded "$(thing)" "thing 2 with friend"
apt-get -qy purge thing >>log 2>&1
apt-get -qy autoremove >>log 2>&1
is "what is left" "$(ls -d /usr/bin/thing /usr/bin/friend /etc/thing /var/lib/thing.made 2>/dev/null || true)" ""
is audit "$(dpkg --audit)" ""
