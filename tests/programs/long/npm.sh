#!/bin/bash
# npm: packages of local archives, one that depends on the other, with a script of its own.
. "$(dirname "$0")/../lib.sh"

mkdir a b app
echo '{"name":"a","version":"1.2.3","main":"i.js"}' >a/package.json
echo 'module.exports = (n) => n * 2;' >a/i.js
for i in $(seq 200); do echo "exports.n = $i" >"a/f$i.js"; done
echo '{"name":"b","version":"0.0.1","main":"i.js","scripts":{"postinstall":"node -e \"require(\\\"fs\\\").writeFileSync(\\\"made\\\",\\\"yes\\\")\""},"bin":{"b":"i.js"}}' >b/package.json
printf '#!/usr/bin/env node\nmodule.exports = 4; if (require.main === module) console.log("b runs");\n' >b/i.js
(cd a && npm pack --silent >/dev/null) && (cd b && npm pack --silent >/dev/null)
cd app
echo '{"name":"app","version":"1.0.0","scripts":{"test":"node t.js"}}' >package.json
npm install --offline --no-audit --no-fund --silent ../a/a-1.2.3.tgz ../b/b-0.0.1.tgz
echo 'console.log(require("a")(require("b")) + require("a/f200.js").n);' >t.js
is test "$(npm test --silent)" 208
is script "$(cat node_modules/b/made)" yes
is command "$(npx --offline b)" "b runs"
is listed "$(npm ls --parseable | wc -l)" 3
npm uninstall --offline --silent a
is "after removal" "$(ls node_modules)" b
