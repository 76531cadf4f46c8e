/* Raw sockets and processes for the specs: what a WebSocket library, LuaSocket included, would not let them do wrong. */
#define _GNU_SOURCE /* pipe2, accept4, SOCK_CLOEXEC */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <pty.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int descriptor(lua_State *L)
{
	return (int)luaL_checkinteger(L, 1);
}

static int connect_to(lua_State *L, int fd, const struct sockaddr *address, socklen_t size)
{
	int one = 1;
	if (fd < 0 || connect(fd, address, size) != 0) {
		int result = luaL_fileresult(L, 0, "connect");
		close(fd);
		return result;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	lua_pushinteger(L, fd);
	return 1;
}

/* connect(host, port [, receive_buffer]) -> fd | nil, message; host is a numeric address */
static int raw_connect(lua_State *L)
{
	const char *host = luaL_checkstring(L, 1);
	in_port_t port = htons((in_port_t)luaL_checkinteger(L, 2));
	int buffer = (int)luaL_optinteger(L, 3, 0);
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = port };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = port };
	bool is_v4 = inet_pton(AF_INET, host, &v4.sin_addr) == 1;
	if (!is_v4 && inet_pton(AF_INET6, host, &v6.sin6_addr) != 1)
		return luaL_argerror(L, 1, "a numeric address expected");
	int fd = socket(is_v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (buffer)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
	return is_v4 ? connect_to(L, fd, (const struct sockaddr *)&v4, sizeof v4)
	             : connect_to(L, fd, (const struct sockaddr *)&v6, sizeof v6);
}

/* connect_unix(path) -> fd | nil, message; does not wait for a place in the backlog */
static int raw_connect_unix(lua_State *L)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	strncpy(address.sun_path, luaL_checkstring(L, 1), sizeof address.sun_path - 1);
	return connect_to(L, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0),
	                  (const struct sockaddr *)&address, sizeof address);
}

static int listen_on(int fd, const struct sockaddr *address, socklen_t len, int backlog)
{
	return fd < 0 || bind(fd, address, len) != 0 || listen(fd, backlog) != 0 ? -1 : 0;
}

/*
 * listen([backlog [, receive_buffer]]) -> fd, port: a listening socket on 127.0.0.1, as a service manager hands it on;
 * what it accepts has the same receive buffer
 */
static int raw_listen(lua_State *L)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof address;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), buffer = (int)luaL_optinteger(L, 2, 0);
	if (buffer)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
	if (listen_on(fd, (const struct sockaddr *)&address, len, (int)luaL_optinteger(L, 1, 16)) != 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &len) != 0) {
		int result = luaL_fileresult(L, 0, "listen");
		close(fd);
		return result;
	}
	lua_pushinteger(L, fd);
	lua_pushinteger(L, ntohs(address.sin_port));
	return 2;
}

/* listen_unix(path) -> fd */
static int raw_listen_unix(lua_State *L)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	strncpy(address.sun_path, luaL_checkstring(L, 1), sizeof address.sun_path - 1);
	if (listen_on(fd, (const struct sockaddr *)&address, sizeof address, 16) != 0) {
		int result = luaL_fileresult(L, 0, "listen");
		close(fd);
		return result;
	}
	lua_pushinteger(L, fd);
	return 1;
}

/* accept(fd) -> fd | nil, "wait" | nil, message */
static int raw_accept(lua_State *L)
{
	int one = 1;
	fcntl(descriptor(L), F_SETFL, O_NONBLOCK);
	int fd = accept4(descriptor(L), NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0) {
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* fails on a Unix socket, which needs none */
		lua_pushinteger(L, fd);
		return 1;
	}
	lua_pushnil(L);
	lua_pushstring(L, errno == EAGAIN ? "wait" : strerror(errno));
	return 2;
}

/* accept_key(key) -> what Sec-WebSocket-Accept must be (RFC 6455 section 4.2.2) */
static int raw_accept_key(lua_State *L)
{
	unsigned char digest[EVP_MAX_MD_SIZE], text[2 * EVP_MAX_MD_SIZE];
	unsigned int size;
	size_t len;
	lua_pushfstring(L, "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", luaL_checkstring(L, 1));
	const char *bytes = lua_tolstring(L, -1, &len);
	if (EVP_Digest(bytes, len, digest, &size, EVP_sha1(), NULL) != 1)
		return luaL_error(L, "no SHA-1");
	lua_pushlstring(L, (const char *)text, (size_t)EVP_EncodeBlock(text, digest, (int)size));
	return 1;
}

/* send(fd, bytes) -> number taken, perhaps 0 | nil, message */
static int raw_send(lua_State *L)
{
	size_t len;
	const char *bytes = luaL_checklstring(L, 2, &len);
	ssize_t n = send(descriptor(L), bytes, len, MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN)
		return luaL_fileresult(L, 0, "send");
	lua_pushinteger(L, n < 0 ? 0 : n);
	return 1;
}

/* receive(fd, max) -> bytes | nil, "wait" | nil, "fin" | nil, "reset" | nil, message */
static int raw_receive(lua_State *L)
{
	luaL_Buffer b;
	size_t max = (size_t)luaL_checkinteger(L, 2);
	char *into = luaL_buffinitsize(L, &b, max);
	ssize_t n = recv(descriptor(L), into, max, 0);
	int error = errno;
	if (n > 0) {
		luaL_pushresultsize(&b, (size_t)n);
		return 1;
	}
	lua_pushnil(L);
	lua_pushstring(L, n == 0 || error == EIO ? "fin" : error == EAGAIN ? "wait" : error == ECONNRESET ? "reset" : strerror(error));
	return 2;
}

/* fin(fd): nothing more will be sent */
static int raw_fin(lua_State *L)
{
	return luaL_fileresult(L, shutdown(descriptor(L), SHUT_WR) == 0, "shutdown");
}

static int raw_close(lua_State *L)
{
	return luaL_fileresult(L, close(descriptor(L)) == 0, "close");
}

/* reset(fd): closes with a RST */
static int raw_reset(lua_State *L)
{
	const struct linger now = { .l_onoff = 1 };
	setsockopt(descriptor(L), SOL_SOCKET, SO_LINGER, &now, sizeof now);
	return raw_close(L);
}

/* descriptors() -> how many this process has open */
static int raw_descriptors(lua_State *L)
{
	lua_Integer n = 0;
	DIR *folder = opendir("/proc/self/fd");
	if (!folder)
		return luaL_fileresult(L, 0, "/proc/self/fd");
	for (const struct dirent *entry; (entry = readdir(folder));)
		n += entry->d_name[0] != '.';
	closedir(folder);
	lua_pushinteger(L, n - 1);
	return 1;
}

/* resident([pid]) -> bytes */
static int raw_resident(lua_State *L)
{
	char path[64];
	unsigned long long total, resident = 0;
	snprintf(path, sizeof path, "/proc/%d/statm", (int)luaL_optinteger(L, 1, getpid()));
	FILE *file = fopen(path, "r");
	if (!file || fscanf(file, "%llu %llu", &total, &resident) != 2)
		resident = 0;
	if (file)
		fclose(file);
	lua_pushinteger(L, (lua_Integer)resident * sysconf(_SC_PAGESIZE));
	return 1;
}

/*
 * spawn({program, argument...} [, fd]) -> pid, fd of its standard output and error | nil, message
 * The fd that is given is the program's 3.
 */
static int raw_spawn(lua_State *L)
{
	char *arguments[32] = { NULL };
	int ends[2], inherited = (int)luaL_optinteger(L, 2, -1);
	for (lua_Integer i = 1; i < 32 && lua_rawgeti(L, 1, i) == LUA_TSTRING; i++)
		arguments[i - 1] = (char *)lua_tostring(L, -1); /* the table keeps it alive */
	if (!arguments[0] || pipe2(ends, O_CLOEXEC) != 0)
		return luaL_fileresult(L, 0, "spawn");
	pid_t pid = fork();
	if (pid == 0) {
		dup2(ends[1], STDOUT_FILENO);
		dup2(ends[1], STDERR_FILENO);
		if (inherited >= 0 && dup2(inherited, 3) == 3)
			fcntl(3, F_SETFD, 0);
		execvp(arguments[0], arguments);
		_exit(127);
	}
	close(ends[1]);
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	lua_pushinteger(L, pid);
	lua_pushinteger(L, ends[0]);
	return 2;
}

/* spawn_terminal({program, argument...}) -> pid, fd: of the other side of the terminal that it runs in | nil, message */
static int raw_spawn_terminal(lua_State *L)
{
	char *arguments[32] = { NULL };
	int fd;
	for (lua_Integer i = 1; i < 32 && lua_rawgeti(L, 1, i) == LUA_TSTRING; i++)
		arguments[i - 1] = (char *)lua_tostring(L, -1);
	pid_t pid = forkpty(&fd, NULL, NULL, NULL);
	if (pid < 0)
		return luaL_fileresult(L, 0, "forkpty");
	if (pid == 0) {
		execvp(arguments[0], arguments);
		_exit(127);
	}
	fcntl(fd, F_SETFL, O_NONBLOCK);
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	lua_pushinteger(L, pid);
	lua_pushinteger(L, fd);
	return 2;
}

/* write(fd, bytes) -> how many were taken | nil, message */
static int raw_write(lua_State *L)
{
	size_t len;
	const char *bytes = luaL_checklstring(L, 2, &len);
	ssize_t n = write(descriptor(L), bytes, len);
	if (n < 0)
		return luaL_fileresult(L, 0, "write");
	lua_pushinteger(L, n);
	return 1;
}

/* read(fd, max) -> bytes | nil, "wait" | nil, "fin" | nil, message. EIO: nobody has the terminal open any more. */
static int raw_read(lua_State *L)
{
	luaL_Buffer b;
	size_t max = (size_t)luaL_checkinteger(L, 2);
	char *into = luaL_buffinitsize(L, &b, max);
	ssize_t n = read(descriptor(L), into, max);
	int error = errno;
	if (n > 0) {
		luaL_pushresultsize(&b, (size_t)n);
		return 1;
	}
	lua_pushnil(L);
	lua_pushstring(L, n == 0 || error == EIO ? "fin" : error == EAGAIN ? "wait" : strerror(error));
	return 2;
}

/* kill(pid, number) */
static int raw_kill(lua_State *L)
{
	return luaL_fileresult(L, kill((pid_t)luaL_checkinteger(L, 1), (int)luaL_checkinteger(L, 2)) == 0, "kill");
}

/* reap(pid) -> exit status, or -signal; waits, so read its output to the end first */
static int raw_reap(lua_State *L)
{
	int status;
	if (waitpid((pid_t)luaL_checkinteger(L, 1), &status, 0) < 0)
		return luaL_fileresult(L, 0, "waitpid");
	lua_pushinteger(L, WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
	return 1;
}

int luaopen_raw(lua_State *L);

int luaopen_raw(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "connect", raw_connect },
		{ "connect_unix", raw_connect_unix },
		{ "listen", raw_listen },
		{ "listen_unix", raw_listen_unix },
		{ "accept", raw_accept },
		{ "accept_key", raw_accept_key },
		{ "send", raw_send },
		{ "receive", raw_receive },
		{ "fin", raw_fin },
		{ "close", raw_close },
		{ "reset", raw_reset },
		{ "descriptors", raw_descriptors },
		{ "resident", raw_resident },
		{ "spawn", raw_spawn },
		{ "spawn_terminal", raw_spawn_terminal },
		{ "write", raw_write },
		{ "read", raw_read },
		{ "kill", raw_kill },
		{ "reap", raw_reap },
		{ NULL, NULL },
	};
	luaL_newlib(L, functions);
	return 1;
}
