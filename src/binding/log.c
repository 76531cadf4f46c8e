/* A write to a pipe that nobody reads any more raises SIGPIPE, which would end the program: here it is an error. */
#include "binding/log.h"

#include <errno.h>
#include <lauxlib.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

/* What the file's own buffer has goes first. */
static bool write_all(FILE *file, const char *text, size_t len)
{
	if (fflush(file) != 0)
		return false;
	while (len > 0) {
		ssize_t written = write(fileno(file), text, len);
		if (written < 0 && errno != EINTR)
			return false;
		if (written > 0) {
			text += written;
			len -= (size_t)written;
		}
	}
	return true;
}

static bool is_pending(int signal)
{
	sigset_t pending;
	sigpending(&pending);
	return sigismember(&pending, signal) == 1;
}

/* With SIGPIPE held back, and taken away if it came of this. */
static bool write_quietly(FILE *file, const char *text, size_t len)
{
	sigset_t pipe, before;
	bool pending = is_pending(SIGPIPE);
	int came;
	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe, &before);
	bool ok = write_all(file, text, len);
	int error = errno;
	if (!pending && is_pending(SIGPIPE))
		sigwait(&pipe, &came);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	errno = error;
	return ok;
}

int ws_log_write(lua_State *L)
{
	const luaL_Stream *stream = luaL_checkudata(L, 1, LUA_FILEHANDLE);
	size_t len;
	const char *text = luaL_checklstring(L, 2, &len);
	if (!stream->closef)
		return luaL_error(L, "the file is closed");
	bool ok = write_quietly(stream->f, text, len);
	return luaL_fileresult(L, ok, NULL);
}
