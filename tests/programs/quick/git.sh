#!/bin/bash
# A repository with 600 files: commit, branch, merge, gc, clone, fsck.
. "$(dirname "$0")/../lib.sh"

git config --global user.email a@b
git config --global user.name a
git config --global init.defaultBranch main
git init -q r
cd r
for i in $(seq 600); do echo "$i" >"f$i"; done
git add .
git commit -qm one
is status "$(git status --porcelain)" ""
git checkout -qb side
sed -i s/^/x/ f1 f2 f3
git mv f600 g600
git commit -qam two
git checkout -q main
echo more >>f500
git commit -qam three
git merge -q -m merged side
is "files in the log" "$(git log --stat --oneline | grep -c '|')" 605
git gc -q
git fsck --strict
is packs "$(git count-objects -v | sed -n 's/^packs: //p')" 1
git clone -q --no-local . ../c
is "clone's content" "$(cd ../c && git ls-files | xargs cat | md5sum)" "$(git ls-files | xargs cat | md5sum)"
is commits "$(git -C ../c rev-list --count HEAD)" 4
