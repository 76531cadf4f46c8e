/*
 * TLS between two buffers, for a peer that can break it anywhere: what is to be sent comes out as records, which the
 * specs send, cut or keep. OpenSSL, but nothing of src/net/tls.c, which is what they test.
 */
#include <lauxlib.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#define CONTEXT "secure.context"
#define SESSION "secure.session"

static SSL_CTX **check_context(lua_State *L)
{
	return luaL_checkudata(L, 1, CONTEXT);
}

static SSL *check_session(lua_State *L)
{
	return *(SSL **)luaL_checkudata(L, 1, SESSION);
}

/* nil and OpenSSL's words */
static int failure(lua_State *L)
{
	const char *reason = ERR_reason_error_string(ERR_get_error());
	ERR_clear_error();
	lua_pushnil(L);
	lua_pushstring(L, reason ? reason : "TLS failed");
	return 2;
}

/* context([cert, key] [, old]) -> context: of a server with the files of these names; old: TLS 1.2 and no later */
static int context_new(lua_State *L)
{
	const char *cert = luaL_optstring(L, 1, NULL), *key = luaL_optstring(L, 2, NULL);
	SSL_CTX **context = lua_newuserdatauv(L, sizeof(SSL_CTX *), 0);
	*context = NULL;
	luaL_setmetatable(L, CONTEXT);
	*context = SSL_CTX_new(TLS_method());
	if (!*context || (cert && SSL_CTX_use_certificate_chain_file(*context, cert) != 1) ||
	    (key && SSL_CTX_use_PrivateKey_file(*context, key, SSL_FILETYPE_PEM) != 1))
		return failure(L);
	if (lua_toboolean(L, 3))
		SSL_CTX_set_max_proto_version(*context, TLS1_2_VERSION);
	return 1;
}

static int context_free(lua_State *L)
{
	SSL_CTX_free(*check_context(L));
	*check_context(L) = NULL;
	return 0;
}

/* context:session(accepts) -> session: one side of one connection, which begins the handshake or waits for it */
static int context_session(lua_State *L)
{
	SSL_CTX *context = *check_context(L);
	SSL **session = lua_newuserdatauv(L, sizeof(SSL *), 0);
	*session = NULL;
	luaL_setmetatable(L, SESSION);
	*session = SSL_new(context);
	if (!*session)
		return failure(L);
	SSL_set_bio(*session, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	if (lua_toboolean(L, 2))
		SSL_set_accept_state(*session);
	else
		SSL_set_connect_state(*session);
	return 1;
}

static int session_free(lua_State *L)
{
	SSL **session = luaL_checkudata(L, 1, SESSION);
	SSL_free(*session);
	*session = NULL;
	return 0;
}

/* session:put(records): they came from the other side */
static int session_put(lua_State *L)
{
	size_t len;
	const char *records = luaL_checklstring(L, 2, &len);
	BIO_write(SSL_get_rbio(check_session(L)), records, (int)len);
	return 0;
}

/* session:take() -> records for the other side, perhaps "" */
static int session_take(lua_State *L)
{
	BIO *out = SSL_get_wbio(check_session(L));
	char *bytes;
	long len = BIO_get_mem_data(out, &bytes);
	lua_pushlstring(L, bytes, (size_t)len);
	BIO_reset(out);
	return 1;
}

/* session:handshake() -> true, or false: it waits for the other side | nil, message */
static int session_handshake(lua_State *L)
{
	SSL *ssl = check_session(L);
	ERR_clear_error();
	int result = SSL_do_handshake(ssl);
	if (result != 1 && SSL_get_error(ssl, result) != SSL_ERROR_WANT_READ)
		return failure(L);
	lua_pushboolean(L, result == 1);
	return 1;
}

/* session:write(bytes) */
static int session_write(lua_State *L)
{
	size_t len, written;
	const char *bytes = luaL_checklstring(L, 2, &len);
	ERR_clear_error();
	if (len > 0 && SSL_write_ex(check_session(L), bytes, len, &written) != 1)
		return failure(L);
	lua_pushboolean(L, 1);
	return 1;
}

/* session:read(max) -> bytes | nil, "wait" | nil, "notify" (the other side's close_notify) | nil, message */
static int session_read(lua_State *L)
{
	luaL_Buffer b;
	SSL *ssl = check_session(L);
	size_t max = (size_t)luaL_checkinteger(L, 2), n;
	char *into = luaL_buffinitsize(L, &b, max);
	ERR_clear_error();
	if (SSL_read_ex(ssl, into, max, &n) == 1) {
		luaL_pushresultsize(&b, n);
		return 1;
	}
	int error = SSL_get_error(ssl, 0);
	if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_ZERO_RETURN)
		return failure(L);
	lua_pushnil(L);
	lua_pushstring(L, error == SSL_ERROR_WANT_READ ? "wait" : "notify");
	return 2;
}

/* session:notify(): a close_notify, once */
static int session_notify(lua_State *L)
{
	ERR_clear_error();
	SSL_shutdown(check_session(L));
	ERR_clear_error();
	return 0;
}

/* session:alert(): a fatal one (bad_record_mac), as this session sends it where a record was damaged on its way */
static int session_alert(lua_State *L)
{
	static const char damaged[] = "\x17\x03\x03\x00\x20" "0123456789abcdef0123456789abcdef";
	char plain[1];
	size_t n;
	SSL *ssl = check_session(L);
	SSL_set_shutdown(ssl, 0); /* after the other side's close_notify it would read nothing more */
	BIO_write(SSL_get_rbio(ssl), damaged, sizeof damaged - 1);
	SSL_read_ex(ssl, plain, sizeof plain, &n);
	ERR_clear_error();
	return 0;
}

static void new_class(lua_State *L, const char *name, const luaL_Reg *methods, lua_CFunction free)
{
	luaL_newmetatable(L, name);
	lua_newtable(L);
	luaL_setfuncs(L, methods, 0);
	lua_setfield(L, -2, "__index");
	lua_pushcfunction(L, free);
	lua_setfield(L, -2, "__gc");
	lua_pop(L, 1);
}

int luaopen_secure(lua_State *L);

int luaopen_secure(lua_State *L)
{
	static const luaL_Reg context[] = { { "session", context_session }, { NULL, NULL } };
	static const luaL_Reg session[] = {
		{ "put", session_put },
		{ "take", session_take },
		{ "handshake", session_handshake },
		{ "write", session_write },
		{ "read", session_read },
		{ "notify", session_notify },
		{ "alert", session_alert },
		{ NULL, NULL },
	};
	static const luaL_Reg functions[] = { { "context", context_new }, { NULL, NULL } };
	new_class(L, CONTEXT, context, context_free);
	new_class(L, SESSION, session, session_free);
	luaL_newlib(L, functions);
	return 1;
}
