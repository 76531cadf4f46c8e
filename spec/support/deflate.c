/* zlib for raw peers: what they compress as they please, and what was compressed for them. */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

struct stream {
	z_stream z;
	int (*end)(z_stream *z);
	int (*run)(z_stream *z, int flush);
};

static int stream_gc(lua_State *L)
{
	struct stream *s = lua_touserdata(L, 1);
	if (s->end)
		s->end(&s->z);
	s->end = NULL;
	return 0;
}

/* All that comes of the input, added to the buffer. */
static int run(lua_State *L, struct stream *s, luaL_Buffer *b, const char *data, size_t len, int flush)
{
	int e;
	s->z.next_in = (Bytef *)data;
	s->z.avail_in = (uInt)len;
	do {
		s->z.next_out = (Bytef *)luaL_prepbuffer(b);
		s->z.avail_out = LUAL_BUFFERSIZE;
		e = s->run(&s->z, flush);
		if (e != Z_OK && e != Z_STREAM_END && e != Z_BUF_ERROR)
			return luaL_error(L, "zlib: %s", s->z.msg ? s->z.msg : zError(e));
		luaL_addsize(b, LUAL_BUFFERSIZE - s->z.avail_out);
	} while (s->z.avail_out == 0);
	return e;
}

/* compressor(text [, times [, final]]) -> what it adds to the stream; not final: without the flush's last four bytes */
static int compress_text(lua_State *L)
{
	struct stream *s = luaL_checkudata(L, 1, "compressor");
	size_t len;
	const char *text = luaL_checklstring(L, 2, &len);
	lua_Integer times = luaL_optinteger(L, 3, 1);
	int final = lua_toboolean(L, 4);
	luaL_Buffer b;
	luaL_buffinit(L, &b);
	while (--times > 0)
		run(L, s, &b, text, len, Z_NO_FLUSH);
	run(L, s, &b, text, len, final ? Z_FINISH : Z_SYNC_FLUSH);
	luaL_pushresult(&b);
	if (final)
		return 1;
	size_t size;
	const char *bytes = lua_tolstring(L, -1, &size);
	lua_pushlstring(L, bytes, size - 4);
	return 1;
}

/* inflater(payload) -> text; what it is told of before is its window */
static int inflate_payload(lua_State *L)
{
	struct stream *s = luaL_checkudata(L, 1, "inflater");
	size_t len;
	const char *payload = luaL_checklstring(L, 2, &len);
	luaL_Buffer b;
	luaL_buffinit(L, &b);
	run(L, s, &b, payload, len, Z_SYNC_FLUSH);
	run(L, s, &b, "\x00\x00\xff\xff", 4, Z_SYNC_FLUSH);
	luaL_pushresult(&b);
	return 1;
}

static struct stream *new_stream(lua_State *L, const char *type, lua_CFunction call)
{
	struct stream *s = lua_newuserdatauv(L, sizeof *s, 0);
	memset(s, 0, sizeof *s);
	if (luaL_newmetatable(L, type)) {
		lua_pushcfunction(L, stream_gc);
		lua_setfield(L, -2, "__gc");
		lua_pushcfunction(L, call);
		lua_setfield(L, -2, "__call");
	}
	lua_setmetatable(L, -2);
	return s;
}

/* compressor([window bits [, level]]) */
static int deflate_compressor(lua_State *L)
{
	int bits = (int)luaL_optinteger(L, 1, 15), level = (int)luaL_optinteger(L, 2, 6);
	struct stream *s = new_stream(L, "compressor", compress_text);
	if (deflateInit2(&s->z, level, Z_DEFLATED, -bits, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return luaL_error(L, "deflateInit2 failed");
	s->end = deflateEnd;
	s->run = deflate;
	return 1;
}

/* inflater([window bits]) */
static int deflate_inflater(lua_State *L)
{
	int bits = (int)luaL_optinteger(L, 1, 15);
	struct stream *s = new_stream(L, "inflater", inflate_payload);
	if (inflateInit2(&s->z, -bits) != Z_OK)
		return luaL_error(L, "inflateInit2 failed");
	s->end = inflateEnd;
	s->run = inflate;
	return 1;
}

int luaopen_deflate(lua_State *L);

int luaopen_deflate(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "compressor", deflate_compressor }, { "inflater", deflate_inflater }, { NULL, NULL }
	};
	luaL_newlib(L, functions);
	return 1;
}
