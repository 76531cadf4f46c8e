#!/bin/sh
# The pages in a headless Chromium, the system's own, driven by playwright-core from its registry into build/.
set -eu
folder=build/browser
wanted=playwright-core@1.65.1

if [ "$(cat "$folder/installed" 2>/dev/null)" != "$wanted" ]; then
	mkdir -p "$folder"
	npm install --silent --no-audit --no-fund --prefix "$folder" "$wanted" >/dev/null
	echo "$wanted" >"$folder/installed"
fi
CHROMIUM=$(command -v chromium || command -v chromium-browser)
PLAYWRIGHT=$folder/node_modules/playwright-core/index.mjs
export CHROMIUM PLAYWRIGHT
node --test-reporter=tap spec/browser/suite.mjs |
	awk '/^# pass/ { passed = $3 } /^# (fail|cancelled)/ { failed += $3 } { print }
		END { printf "%d passed, %d failed\n", passed, failed; exit failed > 0 || !passed }'
