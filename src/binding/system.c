/* Thin: one system call each. */
#include "binding/system.h"

#include <errno.h>
#include <lauxlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

static int push_failure(lua_State *L)
{
	const int error = errno;
	lua_pushnil(L);
	lua_pushstring(L, strerror(error));
	lua_pushinteger(L, error);
	return 3;
}

/* read(fd) -> bytes, as many as there are, "" at the end | nil, message, errno. Waits where there are none. */
static int system_read(lua_State *L)
{
	char bytes[64 * 1024];
	const int fd = (int)luaL_checkinteger(L, 1);
	ssize_t got;
	do
		got = read(fd, bytes, sizeof bytes);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return push_failure(L);
	lua_pushlstring(L, bytes, (size_t)got);
	return 1;
}

/* terminal(fd) -> how many columns it has | nil: it is none */
static int system_terminal(lua_State *L)
{
	const int fd = (int)luaL_checkinteger(L, 1);
	struct winsize size = { .ws_col = 0 };
	if (!isatty(fd))
		return 0;
	if (ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
		size.ws_col = 80;
	lua_pushinteger(L, size.ws_col);
	return 1;
}

/* modified(path) -> nanoseconds since 1970 when the file last changed | nil, message, errno */
static int system_modified(lua_State *L)
{
	struct stat status;
	if (stat(luaL_checkstring(L, 1), &status) != 0)
		return push_failure(L);
	lua_pushinteger(L, (lua_Integer)status.st_mtim.tv_sec * 1000000000 + status.st_mtim.tv_nsec);
	return 1;
}

/* exec(program, arguments...): becomes that program, with what is in the environment. Returns nil, message, errno only. */
static int system_exec(lua_State *L)
{
	const int count = lua_gettop(L);
	const char **arguments = lua_newuserdatauv(L, ((size_t)count + 1) * sizeof *arguments, 0);
	for (int i = 0; i < count; i++)
		arguments[i] = luaL_checkstring(L, i + 1);
	arguments[count] = NULL;
	if (count > 0)
		execvp(arguments[0], (char *const *)arguments);
	return push_failure(L);
}

void ws_system_push(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "read", system_read },
		{ "terminal", system_terminal },
		{ "modified", system_modified },
		{ "exec", system_exec },
		{ NULL, NULL },
	};
	luaL_newlib(L, functions);
}
