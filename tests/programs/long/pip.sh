#!/bin/bash
# pip: an environment, a source archive built into a wheel and installed.
. "$(dirname "$0")/../lib.sh"

mkdir -p thing/thing
echo 'VALUE = 42' >thing/thing/__init__.py
for i in $(seq 200); do echo "N = $i" >"thing/thing/m$i.py"; done
cat >thing/setup.py <<'P'
from setuptools import setup, Extension
setup(name="thing", version="1.0", packages=["thing"], entry_points={"console_scripts": ["thing=thing.m7:main"]})
P
echo 'def main(): print("thing runs")' >>thing/thing/m7.py
pip wheel --quiet --no-index --no-build-isolation --no-deps -w wheels ./thing
python3 -m venv --without-pip --system-site-packages env
python3 -m pip --python env/bin/python install --quiet --no-index --find-links wheels thing
is value "$(env/bin/python -c 'import thing, thing.m200; print(thing.VALUE + thing.m200.N)')" 242
is command "$(env/bin/thing)" "thing runs"
is check "$(python3 -m pip --python env/bin/python check)" "No broken requirements found."
python3 -m pip --python env/bin/python uninstall --quiet -y thing
is "after removal" "$(ls -d env/lib/python3*/site-packages/thing* 2>/dev/null || true)" ""
