# What the cases of parity_cases.ts find on a host: files, a package to install, a repository, a web server. Every host the same.
set -eu
umask 022
mkdir -p /p/tree/sub /p/frag /p/repo /p/www /p/wheel /p/unpack /p/unpack2 /p/unpack3 /p/gone/below /etc/yum.repos.d
ip link set lo up

for name in block line replace copied linked; do printf 'alpha\nbeta\ngamma\n' >/p/$name; done
printf 'hello\n' >/p/old
printf 'same\n' >/p/same
printf 'x' >/p/tree/one
printf 'y' >/p/tree/sub/two
printf 'b\n' >/p/frag/20-b
printf 'a' >/p/frag/10-a
ln -s /p/linked /p/link
find /p/tree /p/frag /p/old /p/same -exec touch -h -d '2020-01-02 03:04:05 UTC' {} +

: >/p/repo/Packages
for name in one two three four; do
  mkdir -p /p/deb/DEBIAN /p/deb/usr/share/salar
  printf 'Package: salar-%s\nVersion: 1.0\nArchitecture: all\n' "$name" >/p/deb/DEBIAN/control
  printf 'Maintainer: Nobody <nobody@example.org>\nDescription: a demo\n' >>/p/deb/DEBIAN/control
  printf 'demo\n' >"/p/deb/usr/share/salar/$name"
  find /p/deb -exec touch -d '2020-01-02 03:04:05 UTC' {} +
  SOURCE_DATE_EPOCH=1577934245 dpkg-deb --build --root-owner-group /p/deb "/p/repo/$name.deb" >/dev/null
  {
    cat /p/deb/DEBIAN/control
    printf 'Filename: ./%s.deb\nSize: %s\n' "$name" "$(stat -c %s "/p/repo/$name.deb")"
    printf 'SHA256: %s\n\n' "$(sha256sum "/p/repo/$name.deb" | cut -d' ' -f1)"
  } >>/p/repo/Packages
  rm -r /p/deb
done
rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*
printf 'deb [trusted=yes] file:/p/repo ./\n' >/etc/apt/sources.list
apt-get -qq update
dpkg --install /p/repo/two.deb /p/repo/three.deb >/dev/null

export GIT_AUTHOR_DATE='2020-01-02T03:04:05Z' GIT_COMMITTER_DATE='2020-01-02T03:04:05Z'
git -c init.defaultBranch=main init -q /p/git
git -C /p/git -c user.name=a -c user.email=a@example.org commit -q --allow-empty -m one
git config --global --add safe.directory '*'

svnadmin create /p/svn
svn -q mkdir -m one file:///p/svn/trunk

python3 - <<'PYTHON'
import zipfile
with zipfile.ZipFile("/p/wheel/salar_demo-1.0-py3-none-any.whl", "w") as wheel:
    wheel.writestr("salar_demo.py", "")
    wheel.writestr("salar_demo-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: salar-demo\nVersion: 1.0\n")
    wheel.writestr("salar_demo-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr("salar_demo-1.0.dist-info/RECORD", "")
PYTHON

printf 'served\n' >/p/www/page
touch -d '2020-01-02 03:04:05 UTC' /p/www/page
for name in one two three; do
  cat >"/etc/init.d/$name" <<SCRIPT
#!/bin/sh
case \$1 in
status) test -e /run/$name ;;
start) touch /run/$name ;;
stop) rm -f /run/$name ;;
esac
SCRIPT
  chmod 755 "/etc/init.d/$name"
done
touch /run/two
# As much of systemctl as the module asks.
cat >/usr/local/bin/systemctl <<'SCRIPT'
#!/bin/sh
case $1 in
show)
  state=inactive
  test -e "/run/unit-$2" && state=active
  printf 'Id=%s\nLoadState=loaded\nActiveState=%s\nUnitFileState=enabled\n' "$2" "$state"
  ;;
is-enabled) echo enabled ;;
start) touch "/run/unit-$2" ;;
stop) rm -f "/run/unit-$2" ;;
esac
SCRIPT
chmod 755 /usr/local/bin/systemctl
printf '#Ansible: old\n* * * * * true\n' | crontab -
tar -C /p/tree -czf /p/tree.tgz .
setsid python3 -m http.server --bind 127.0.0.1 --directory /p/www 8123 </dev/null >/dev/null 2>&1 &
