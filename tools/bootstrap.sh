#!/bin/sh
# Installs what this machine lacks, with the system's package manager; where it cannot, prints the command to type.
#   tools/bootstrap.sh SET...      sets: build demo test conformance interop deployment browser valgrind bench peers warnings fuzz
set -eu

# The set, how to look for the thing, and its packages. "-": nothing to install there. rock:NAME: from LuaRocks.
table() {
	cat <<-'END'
	# set       look for              apt-get       dnf            apk            pacman         brew
	build       run:cc                gcc,libc6-dev gcc            gcc,musl-dev   gcc            -
	build       run:make              make          make           make           make           make
	build       lua:                  lua5.4        lua            lua5.4         lua            lua
	build       header:lua.h          liblua5.4-dev lua-devel      lua5.4-dev     lua            lua
	build       run:luarocks          luarocks      luarocks       luarocks5.4    luarocks       luarocks
	build       header:wslay/wslay.h  libwslay-dev  wslay-devel    wslay-dev      wslay          wslay
	build       header:event2/event.h libevent-dev  libevent-devel libevent-dev   libevent       libevent
	build       header:openssl/evp.h  libssl-dev    openssl-devel  openssl-dev    openssl        openssl@3
	build       header:zlib.h         zlib1g-dev    zlib-devel     zlib-dev       zlib           zlib
	demo        lua:socket            lua-socket    rock:luasocket rock:luasocket rock:luasocket rock:luasocket
	test        lua:socket            lua-socket    rock:luasocket rock:luasocket rock:luasocket rock:luasocket
	test        lua:cjson             lua-cjson     rock:lua-cjson rock:lua-cjson rock:lua-cjson rock:lua-cjson
	test        lua:busted            lua-busted    rock:busted    rock:busted    rock:busted    rock:busted
	test        run:luacheck          lua-check     rock:luacheck  rock:luacheck  rock:luacheck  rock:luacheck
	test        run:python3           python3       python3        python3        python         python
	test        run:ip                iproute2      iproute        iproute2       iproute2       -
	test        run:nft               nftables      nftables       nftables       nftables       -
	test        run:redis-server      redis-server  redis          redis          redis          redis
	test        run:openssl           openssl       openssl        openssl        openssl        openssl@3
	interop     venv:                 python3-venv  python3        python3        python         python
	interop     run:node              nodejs        nodejs         nodejs         nodejs         node
	interop     run:npm               npm           npm            npm            npm            -
	interop     run:tinyproxy         tinyproxy-bin tinyproxy      tinyproxy      tinyproxy      tinyproxy
	interop     run:microsocks        microsocks    -              microsocks     -              microsocks
	deployment  run:nginx             nginx         nginx          nginx          nginx          nginx
	deployment  nginx:stream          libnginx-mod-stream nginx-mod-stream nginx-mod-stream nginx-mod-stream -
	deployment  run:haproxy           haproxy       haproxy        haproxy        haproxy        haproxy
	deployment  run:systemd-analyze   systemd       systemd        -              systemd        -
	browser     run:chromium          chromium      chromium       chromium       chromium       -
	browser     run:node              nodejs        nodejs         nodejs         nodejs         node
	browser     run:npm               npm           npm            npm            npm            -
	browser     lua:cjson             lua-cjson     rock:lua-cjson rock:lua-cjson rock:lua-cjson rock:lua-cjson
	conformance venv:                 python3-venv  python3        python3        python         python
	valgrind    run:valgrind          valgrind      valgrind       valgrind       valgrind       valgrind
	bench       run:python3           python3       python3        python3        python         python
	bench       run:openssl           openssl       openssl        openssl        openssl        openssl@3
	bench       run:strace            strace        strace         strace         strace         -
	peers       run:c++               g++           gcc-c++        g++            gcc            -
	peers       run:cargo             cargo         cargo          cargo          rust           rust
	peers       run:go                golang-go     golang         go             go             go
	peers       run:npm               npm           npm            npm            npm            node
	peers       run:pkg-config        pkg-config    pkgconf        pkgconf        pkgconf        pkgconf
	peers       header:libwebsockets.h libwebsockets-dev libwebsockets-devel libwebsockets-dev libwebsockets libwebsockets
	peers       venv:                 python3-venv  python3        python3        python         python
	peers       file:/usr/share/lua/5.3/http/server.lua lua-http - - - -
	warnings    run:clang             clang         clang          clang          clang          llvm
	fuzz        fuzzer:               clang,libclang-rt-dev clang,compiler-rt clang,compiler-rt clang,compiler-rt llvm
	END
}

has() {
	name=${1#*:}
	case $1 in
	run:*) PATH=$PATH:/usr/sbin:/sbin command -v "$name" >/dev/null ;;
	header:*)
		for dir in /usr/include /usr/include/lua5.4 /usr/local/include /usr/local/include/lua \
			/opt/homebrew/include /opt/homebrew/include/lua /opt/homebrew/opt/openssl@3/include \
			/opt/homebrew/opt/zlib/include; do
			[ ! -e "$dir/$name" ] || return 0
		done
		return 1 ;;
	file:*) [ -e "$name" ] ;;
	lua:*)
		lua=$(command -v lua5.4 || command -v lua) || return 1
		"$lua" - "$name" <<-'END'
			assert(tonumber(_VERSION:match "[%d.]+") >= 5.4)
			local name, both = arg[1], package.path .. ";" .. package.cpath
			assert(name == "" or package.searchpath(name, both))
		END
		;;
	nginx:*)
		for dir in /usr/lib /usr/lib64; do
			[ ! -e "$dir/nginx/modules/ngx_${name}_module.so" ] || return 0
		done
		PATH=$PATH:/usr/sbin nginx -V 2>&1 | grep -qE -- "--with-$name( |\$)" ;;
	venv:*) python3 -c 'import ensurepip' ;;
	fuzzer:*) echo 'int LLVMFuzzerTestOneInput(void) { return 0; }' | clang -fsanitize=fuzzer -x c -o /dev/null - ;;
	esac 2>/dev/null
}

for manager in apt-get dnf apk pacman brew ""; do
	[ -z "$manager" ] || ! command -v "$manager" >/dev/null || break
done

packages= rocks= missing=
for set in "$@"; do
	while read -r wanted look apt dnf apk pacman brew; do
		[ "$wanted" = "$set" ] && ! has "$look" || continue
		missing="$missing $look"
		case $manager in
		apt-get) found=$apt ;; dnf) found=$dnf ;; apk) found=$apk ;; pacman) found=$pacman ;; brew) found=$brew ;;
		*) found=$apt ;;
		esac
		case $found in
		-) ;;
		rock:*) rocks="$rocks ${found#rock:}" ;;
		*) packages="$packages $(echo "$found" | tr , ' ')" ;;
		esac
	done <<-END
	$(table)
	END
done
[ -n "$missing" ] || exit 0
echo "missing:$missing"
if [ -z "$manager" ] || [ -z "$packages$rocks" ]; then
	echo "please install it with your system's package manager (Debian's names:$packages), then run this again" >&2
	exit 1
fi

sudo=
[ "$(id -u)" = 0 ] || [ "$manager" = brew ] || sudo=sudo
case $manager in
apt-get)
	apt_get="env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300"
	install="$apt_get install --no-install-recommends" ;;
dnf) install="dnf install -y" ;;
apk) install="apk add" ;;
pacman) install="pacman -S --needed --noconfirm" ;;
brew) install="brew install" ;;
esac

# $sudo, $install and $packages are lists of words
# shellcheck disable=SC2086
install_packages() {
	[ -z "$packages" ] || $sudo $install $packages </dev/null >&2
}

if [ -n "$sudo" ] && ! command -v sudo >/dev/null; then
	echo "please type as root: $install$packages" >&2
	exit 1
fi
# the lists of a fresh machine are empty or stale: they are fetched where it does not go without
if ! install_packages; then
	[ "$manager" = apt-get ] || exit 1
	$sudo $apt_get update && install_packages
fi
for rock in $rocks; do
	luarocks --lua-version 5.4 --tree lua_modules install "$rock"
done
