/* Lua states in threads of their own: run(chunk, n) runs the chunk in n of them at once. */
#include <lauxlib.h>
#include <lualib.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>

enum { THREADS = 16 };

/* What one thread is to do, and what came of it. */
struct job {
	pthread_t thread;
	const char *chunk, *path, *cpath;
	size_t chunk_size;
	int number;
	bool ok;
	char said[256];
};

static int run_chunk(lua_State *L)
{
	const struct job *job = lua_touserdata(L, 1);
	luaL_openlibs(L);
	lua_getglobal(L, "package");
	lua_pushstring(L, job->path);
	lua_setfield(L, -2, "path");
	lua_pushstring(L, job->cpath);
	lua_setfield(L, -2, "cpath");
	if (luaL_loadbuffer(L, job->chunk, job->chunk_size, "=chunk") != LUA_OK)
		return lua_error(L);
	lua_pushinteger(L, job->number);
	lua_call(L, 1, 1);
	return 1;
}

static void *work(void *arg)
{
	struct job *job = arg;
	lua_State *L = luaL_newstate();
	if (!L)
		return NULL;
	lua_pushcfunction(L, run_chunk);
	lua_pushlightuserdata(L, job);
	job->ok = lua_pcall(L, 1, 1, 0) == LUA_OK;
	const char *said = lua_tostring(L, -1);
	snprintf(job->said, sizeof job->said, "%s", said ? said : "");
	lua_close(L);
	return NULL;
}

static const char *package_field(lua_State *L, const char *name)
{
	lua_getglobal(L, "package");
	lua_getfield(L, -1, name);
	lua_remove(L, -2);
	return lua_tostring(L, -1);
}

/* run(chunk, n) -> what the chunk, called with the thread's number, returned or raised in each of n threads */
static int run(lua_State *L)
{
	struct job jobs[THREADS] = { { .ok = false } };
	size_t size;
	const char *chunk = luaL_checklstring(L, 1, &size);
	lua_Integer n = luaL_checkinteger(L, 2);
	luaL_argcheck(L, n > 0 && n <= THREADS, 2, "from 1 to 16 threads");
	const char *path = package_field(L, "path"), *cpath = package_field(L, "cpath");
	for (int i = 0; i < n; i++) {
		jobs[i] = (struct job){ .chunk = chunk, .path = path, .cpath = cpath, .chunk_size = size, .number = i + 1 };
		if (pthread_create(&jobs[i].thread, NULL, work, &jobs[i]) != 0)
			return luaL_error(L, "no thread");
	}
	for (int i = 0; i < n; i++)
		pthread_join(jobs[i].thread, NULL);
	for (int i = 0; i < n; i++)
		lua_pushfstring(L, "%s: %s", jobs[i].ok ? "ok" : "error", jobs[i].said);
	return (int)n;
}

int luaopen_threads(lua_State *L);

int luaopen_threads(lua_State *L)
{
	static const luaL_Reg functions[] = { { "run", run }, { NULL, NULL } };
	luaL_newlib(L, functions);
	return 1;
}
