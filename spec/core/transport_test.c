/* Transports over loopback TCP and Unix sockets: every way a connection can read, write, wait and end. */
#include "net/transport.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>

#include "error.h"
#include "net/loop_private.h"
#include "unit.h"

enum { KIB = 1024, MIB = 1024 * 1024 };

/* A transport that counts its callbacks and checks the bytes, which count up from 0. */
struct end {
	struct ws_transport t;
	int readables, brokens, stalleds, writtens, endeds;
	uint64_t received, sent;
	long last;     /* what ws_transport_read returned last */
	bool wrong;    /* a byte that was not next */
	void (*hook)(struct end *e); /* called in every callback */
	bool lazy;     /* on_readable reads nothing */
	unsigned writes;
};

static struct ws_loop *loop;

static uint8_t pattern(uint64_t at)
{
	return (uint8_t)(at * 7 + (at >> 8) + (at >> 16));
}

static void end_check(struct end *e, const uint8_t *data, long len)
{
	for (long i = 0; i < len; i++)
		e->wrong |= data[i] != pattern(e->received++);
}

static void end_hook(struct end *e)
{
	if (e->hook != NULL)
		e->hook(e);
}

static void end_readable(struct ws_transport *t)
{
	struct end *e = (struct end *)(void *)t;
	uint8_t *data = NULL;
	e->readables++;
	if (!e->lazy) {
		e->last = ws_transport_read(t, &data);
		if (e->last > 0)
			end_check(e, data, e->last);
	}
	end_hook(e);
}

static void end_broken(struct ws_transport *t)
{
	struct end *e = (struct end *)(void *)t;
	e->brokens++;
	end_hook(e);
}

static void end_stalled(struct ws_transport *t)
{
	struct end *e = (struct end *)(void *)t;
	e->stalleds++;
	end_hook(e);
}

static void end_written(struct ws_transport *t)
{
	struct end *e = (struct end *)(void *)t;
	e->writtens++;
	end_hook(e);
}

static void end_ended(struct ws_transport *t)
{
	struct end *e = (struct end *)(void *)t;
	e->endeds++;
	end_hook(e);
}

static const struct ws_transport_handler handler = {end_readable, end_broken, end_stalled, end_written, end_ended};

/* Writes the next len bytes of the pattern, in two parts or, every other time, into the cork if they can be corked. */
static int end_write(struct end *e, size_t len)
{
	uint8_t *bytes = malloc(len);
	if (bytes == NULL)
		abort();
	for (size_t i = 0; i < len; i++)
		bytes[i] = pattern(e->sent + i);
	struct iovec parts[] = {{bytes, len / 3}, {bytes + len / 3, len - len / 3}};
	uint8_t *room = e->writes++ % 2 ? ws_transport_cork(&e->t, len) : NULL;
	if (room != NULL && len > 0)
		memcpy(room, bytes, len);
	int result = room != NULL ? 0 : ws_transport_write(&e->t, parts, 2);
	if (result == 0)
		e->sent += len;
	free(bytes);
	return result;
}

/* Connected loopback sockets. */
static void tcp_pair(int pair[2])
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof address;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	pair[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool ok = bind(listener, (struct sockaddr *)&address, len) == 0 && listen(listener, 1) == 0 &&
	          getsockname(listener, (struct sockaddr *)&address, &len) == 0 &&
	          connect(pair[0], (struct sockaddr *)&address, len) == 0;
	pair[1] = accept(listener, NULL, NULL);
	if (!ok || pair[1] < 0)
		abort();
	close(listener);
	for (int i = 0; i < 2; i++)
		fcntl(pair[i], F_SETFL, O_NONBLOCK);
}

static void unix_pair(int pair[2], int type)
{
	if (socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0)
		abort();
}

/* A transport at one end of a TCP connection; the other end is returned raw. */
static int end_new(struct end *e)
{
	int pair[2];
	tcp_pair(pair);
	memset(e, 0, sizeof *e);
	CHECK(ws_transport_init(&e->t, loop, pair[0], &handler) == 0);
	return pair[1];
}

static void turn(void)
{
	CHECK(ws_loop_turn(loop, 1000) == 0);
}

static void turns_now(int n)
{
	while (n-- > 0)
		CHECK(ws_loop_turn(loop, 0) == 0);
}

/* Turns until the counter has reached n, though not for long. Returns the number of turns. */
static int turn_until(const int *counter, int n)
{
	int turns = 0;
	while (*counter < n && turns < 200) {
		turn();
		turns++;
	}
	CHECK(*counter >= n);
	return turns;
}

/* How often the loop wakes within ms: a spinning event makes it thousands. */
static int wakes_within(unsigned ms)
{
	uint64_t end = ws_loop_now(loop) + ms;
	int turns = 0;
	for (uint64_t now; (now = ws_loop_now(loop)) < end; turns++)
		CHECK(ws_loop_turn(loop, (int64_t)(end - now)) == 0);
	return turns;
}

static void reset(int fd)
{
	struct linger at_once = {1, 0};
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
	close(fd);
}

/* One recv at the raw end, checked against the pattern from *at on. */
static ssize_t raw_read_some(int fd, uint64_t *at, size_t most)
{
	static uint8_t bytes[256 * KIB];
	ssize_t got = recv(fd, bytes, most < sizeof bytes ? most : sizeof bytes, 0);
	for (ssize_t i = 0; i < got; i++)
		CHECK(bytes[i] == pattern((*at)++));
	return got;
}

/* Reads the raw end dry. Returns recv's last result. */
static ssize_t raw_read(int fd, uint64_t *at)
{
	ssize_t got;
	while ((got = raw_read_some(fd, at, SIZE_MAX)) > 0)
		continue;
	return got;
}

static void raw_write(int fd, uint64_t *at, size_t len)
{
	uint8_t bytes[4096];
	for (size_t i = 0; i < len; i++)
		bytes[i] = pattern((*at)++);
	CHECK(len <= sizeof bytes && send(fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len);
}

static void echo(void)
{
	struct end e;
	int raw = end_new(&e);
	uint64_t at = 0, back = 0;
	for (int i = 0; i < 100; i++) {
		raw_write(raw, &at, 100);
		turn_until(&e.readables, i + 1);
		CHECK(end_write(&e, 100) == 0);
		ws_transport_flush(&e.t);
		CHECK(ws_transport_buffered(&e.t) == 0 && e.t.flush.next == NULL);
		CHECK(raw_read(raw, &back) < 0 && back == at);
	}
	CHECK(e.received == 10000 && !e.wrong && e.writtens == 0);
	ws_transport_close(&e.t);
	close(raw);
}

/* Packet sockets keep what each send gave them apart. */
static void one_send(void)
{
	static uint8_t bytes[64 * KIB];
	struct end e = {.last = 0};
	int pair[2];
	unix_pair(pair, SOCK_SEQPACKET);
	CHECK(ws_transport_init(&e.t, loop, pair[0], &handler) == 0);
	for (int i = 0; i < 10; i++)
		CHECK(end_write(&e, 10) == 0);
	CHECK(ws_transport_buffered(&e.t) == 100);
	CHECK(recv(pair[1], bytes, sizeof bytes, 0) < 0);
	ws_transport_flush(&e.t);
	CHECK(recv(pair[1], bytes, sizeof bytes, 0) == 100);
	CHECK(end_write(&e, 10) == 0);
	CHECK(end_write(&e, 20) == 0);
	turn(); /* the end of the turn flushes */
	CHECK(recv(pair[1], bytes, sizeof bytes, 0) == 30);
	CHECK(end_write(&e, 10) == 0);
	CHECK(end_write(&e, 24 * KIB) == 0); /* still corked */
	CHECK(recv(pair[1], bytes, sizeof bytes, 0) < 0);
	CHECK(end_write(&e, 24 * KIB + 1) == 0); /* takes the corked along */
	CHECK(recv(pair[1], bytes, sizeof bytes, 0) == 10 + 48 * KIB + 1);
	CHECK(ws_transport_buffered(&e.t) == 0);
	for (int i = 0; i < 5; i++)
		CHECK(end_write(&e, 13 * KIB) == 0); /* the fifth is more than the cork holds */
	CHECK(recv(pair[1], bytes, sizeof bytes, MSG_TRUNC) == 65 * KIB);
	turns_now(2);
	CHECK(recv(pair[1], bytes, sizeof bytes, 0) < 0);
	struct iovec many[20];
	for (int i = 0; i < 20; i++)
		many[i] = (struct iovec){bytes, 1000};
	CHECK(ws_transport_write(&e.t, many, 20) == 0); /* more parts than sendmsg is given */
	turn();
	CHECK(recv(pair[1], bytes, sizeof bytes, 0) == 20000);
	CHECK(ws_transport_write(&e.t, many, 0) == 0);
	CHECK(e.t.flush.next == NULL);
	ws_transport_close(&e.t);
	close(pair[1]);
}

static void cork_room(void)
{
	struct end e;
	int raw = end_new(&e);
	CHECK(ws_transport_cork(&e.t, 24 * KIB + 1) == NULL);
	for (int i = 0; i < 2; i++) {
		uint8_t *room = ws_transport_cork(&e.t, 24 * KIB);
		CHECK(room != NULL);
		memset(room, 0, 24 * KIB);
	}
	CHECK(ws_transport_cork(&e.t, 16 * KIB + 1) == NULL);
	CHECK(ws_transport_buffered(&e.t) == 48 * KIB);
	turn();
	CHECK(ws_transport_buffered(&e.t) == 0);
	ws_transport_end(&e.t);
	CHECK(ws_transport_cork(&e.t, 1) == NULL);
	ws_transport_close(&e.t);
	CHECK(ws_transport_cork(&e.t, 1) == NULL);
	close(raw);
}

/* Until the kernel takes no more. */
static void end_stall(struct end *e)
{
	while (!e->t.stalled)
		CHECK(end_write(e, 100 * KIB) == 0);
}

static void short_writes(void)
{
	for (int tcp = 0; tcp < 2; tcp++) {
		struct end e = {.last = 0};
		int pair[2];
		uint64_t at = 0;
		if (tcp)
			tcp_pair(pair);
		else
			unix_pair(pair, SOCK_STREAM);
		CHECK(ws_transport_init(&e.t, loop, pair[0], &handler) == 0);
		while (ws_transport_buffered(&e.t) == 0 && e.sent < 100 * MIB)
			CHECK(end_write(&e, 100 * KIB) == 0); /* goes out at once until the kernel is full */
		CHECK(e.t.stalled);
		uint64_t waiting_since = e.t.progress_at;
		for (int i = 0; i < 50; i++)
			CHECK(end_write(&e, (size_t)(i * 777)) == 0);
		size_t queued = ws_transport_buffered(&e.t);
		ws_transport_flush(&e.t);
		CHECK(ws_transport_buffered(&e.t) == queued); /* no attempts while EV_WRITE is awaited */
		CHECK(e.stalleds == 0);
		CHECK(wakes_within(20) < 5);
		CHECK(e.stalleds == 1); /* at the end of the turn */
		CHECK(e.writtens == 0 && e.t.progress_at == waiting_since);
		int turns = 0;
		while (at < e.sent && turns++ < 100000) {
			raw_read_some(pair[1], &at, 64 * KIB);
			CHECK(turns > 200 || end_write(&e, 5000) == 0); /* the queue moves and grows */
			CHECK(ws_loop_turn(loop, 1) == 0);
		}
		CHECK(at == e.sent && ws_transport_buffered(&e.t) == 0 && e.writtens > 0);
		CHECK(e.t.progress_at > waiting_since && !e.t.stalled);
		turns_now(2);
		CHECK(wakes_within(20) < 5); /* EV_WRITE is off again */
		CHECK(end_write(&e, 10) == 0);
		turn();
		CHECK(raw_read(pair[1], &at) < 0 && at == e.sent);
		ws_transport_close(&e.t);
		close(pair[1]);
	}
}

/* Two writes for all of them, of the pattern at that place, within one turn. */
static void write_to_many(struct end *ends, size_t count, uint64_t at, size_t len)
{
	static uint8_t bytes[12 * KIB];
	for (int i = 0; i < 2; i++, at += len) {
		struct ws_common common = {.copy = NULL};
		struct iovec parts[] = {{bytes, len / 3}, {bytes + len / 3, len - len / 3}};
		for (size_t j = 0; j < len; j++)
			bytes[j] = pattern(at + j);
		for (size_t j = 0; j < count; j++)
			CHECK(ws_transport_write_shared(&ends[j].t, parts, 2, &common) == 0);
		memset(bytes, 0, len); /* they were the caller's again */
		if (common.copy != NULL)
			ws_shared_release(common.copy);
	}
}

/* One of them keeps packets apart, one is read, one is not. */
static void write_shared(void)
{
	static uint8_t packet[32 * KIB];
	struct end ends[3] = {{.last = 0}};
	int pairs[3][2];
	uint64_t sent = 0, at[3] = {0};
	unix_pair(pairs[0], SOCK_SEQPACKET);
	tcp_pair(pairs[1]);
	tcp_pair(pairs[2]);
	for (int i = 0; i < 3; i++)
		CHECK(ws_transport_init(&ends[i].t, loop, pairs[i][0], &handler) == 0);
	for (int turns = 0, stalled = 0; stalled < 50 && turns < 10000; turns++) {
		size_t len = 50 + (size_t)(turns * 977) % (12 * KIB - 50);
		write_to_many(ends, 3, sent, len);
		turn();
		CHECK(recv(pairs[0][1], packet, sizeof packet, 0) == (ssize_t)(2 * len)); /* one send */
		for (size_t i = 0; i < 2 * len; i++)
			CHECK(packet[i] == pattern(sent + i));
		sent += 2 * len;
		CHECK(raw_read(pairs[1][1], &at[1]) < 0 && at[1] == sent);
		stalled += ends[2].t.stalled;
	}
	CHECK(ends[2].t.stalled && ends[2].stalleds == 1);
	for (int turns = 0; at[2] < sent && turns < 100000; turns++) {
		raw_read_some(pairs[2][1], &at[2], 64 * KIB);
		CHECK(ws_loop_turn(loop, 1) == 0);
	}
	CHECK(at[2] == sent && ends[2].t.out.size == 0);
	for (int i = 0; i < 3; i++) {
		ws_transport_close(&ends[i].t);
		close(pairs[i][1]);
	}
}

/* Also while nothing else than writing would have to be watched. */
static void stall_while_paused(void)
{
	struct end e;
	int raw = end_new(&e);
	uint64_t at = 0;
	ws_transport_pause(&e.t);
	turns_now(2);
	for (int stalls = 1; stalls <= 2; stalls++) {
		end_stall(&e);
		turns_now(3);
		CHECK(e.stalleds == stalls);
		while (at < e.sent) {
			raw_read_some(raw, &at, 64 * KIB);
			CHECK(ws_loop_turn(loop, 1) == 0);
		}
		CHECK(e.stalleds == stalls && !e.t.stalled);
	}
	ws_transport_close(&e.t);
	close(raw);
}

static void fifty_megabytes(void)
{
	struct end a = {.last = 0}, b = {.last = 0};
	int pair[2];
	tcp_pair(pair);
	CHECK(ws_transport_init(&a.t, loop, pair[0], &handler) == 0);
	CHECK(ws_transport_init(&b.t, loop, pair[1], &handler) == 0);
	unsigned random = 1;
	while (b.received < 50 * MIB && !b.wrong && !unit.failed) {
		while (a.sent < 50 * MIB && ws_transport_buffered(&a.t) < 300 * KIB) {
			random = random * 1103515245 + 12345;
			size_t len = (random >> 8) % (random & 16 ? 200 : 200000);
			CHECK(end_write(&a, len < 50 * MIB - a.sent ? len : (size_t)(50 * MIB - a.sent)) == 0);
		}
		turn();
	}
	CHECK(b.received == 50 * MIB && !b.wrong);
	ws_transport_end(&a.t);
	turn_until(&a.endeds, 1);
	while (b.last != 0 && !unit.failed)
		turn();
	CHECK(b.t.eof);
	ws_transport_close(&a.t);
	ws_transport_close(&b.t);
}

/* Keeps all but the first 10 bytes and pauses. */
static void read_ten(struct end *e)
{
	uint8_t *data;
	long got = ws_transport_read(&e->t, &data);
	e->last = got;
	if (got <= 0)
		return;
	long used = got < 10 ? got : 10;
	end_check(e, data, used);
	CHECK(ws_transport_keep(&e->t, data + used, (size_t)(got - used)) == 0);
	ws_transport_pause(&e->t);
}

static void pause_keep_resume(void)
{
	struct end e;
	int raw = end_new(&e);
	uint64_t at = 0;
	e.lazy = true;
	e.hook = read_ten;
	raw_write(raw, &at, 95);
	turn_until(&e.readables, 1);
	CHECK(e.received == 10 && e.t.cautious && e.t.kept != NULL);
	raw_write(raw, &at, 100);
	turns_now(3);
	CHECK(wakes_within(20) < 5);
	CHECK(e.readables == 1); /* paused */
	for (int i = 2; i <= 10; i++) {
		ws_transport_resume(&e.t);
		ws_transport_resume(&e.t);
		turn();
		CHECK(e.readables == i);
	}
	CHECK(e.received == 95 && !e.wrong);
	ws_transport_resume(&e.t);
	turn_until(&e.readables, 11); /* what the kernel had meanwhile */
	CHECK(e.received == 105);
	memset(ws_loop_receive_buffer(loop), 0xFF, 1000); /* kept input is nobody else's */
	for (int i = 0; i < 100 && e.received < at; i++) {
		ws_transport_resume(&e.t);
		turns_now(1);
	}
	CHECK(e.received == at && !e.wrong);
	CHECK(ws_transport_keep(&e.t, NULL, 0) == 0);
	ws_transport_resume(&e.t);
	turns_now(2);
	close(raw);
	ws_transport_close(&e.t);
}

/* Like a head of which some is missing: takes 50 bytes at a time, keeps what is left, does not pause. */
static void read_fifties(struct end *e)
{
	uint8_t *data;
	e->last = ws_transport_read(&e->t, &data);
	if (e->last <= 0)
		return;
	long used = e->last - e->last % 50;
	end_check(e, data, used);
	CHECK(ws_transport_keep(&e->t, data + used, (size_t)(e->last - used)) == 0);
}

static void keep_without_pause(void)
{
	for (int broken = 0; broken < 2; broken++) {
		struct end e;
		int raw = end_new(&e);
		uint64_t at = 0;
		e.lazy = true;
		e.hook = read_fifties;
		for (int i = 0; i < 40; i++) {
			raw_write(raw, &at, i % 10 == 9 ? 4001 : 7);
			turn_until(&e.readables, i + 1);
			CHECK(wakes_within(2) < 3);
			CHECK(e.received == at / 50 * 50 && !e.wrong);
		}
		CHECK(e.readables == 40 && at % 50 != 0);
		if (broken)
			reset(raw);
		else
			shutdown(raw, SHUT_WR);
		turn_until(&e.readables, 41);
		CHECK(e.last == (broken ? WS_ERROR_SYSTEM : 0)); /* nothing will complete what was kept */
		CHECK(wakes_within(20) < 5);
		CHECK(e.readables == 41);
		uint8_t *data;
		CHECK(ws_transport_read(&e.t, &data) == e.last);
		ws_transport_close(&e.t);
		if (!broken)
			close(raw);
	}
}

enum { ROOM = 60 };

static uint8_t place[ROOM];
static bool in_room; /* what was last read */

static void read_into_room(struct end *e)
{
	uint8_t *data = NULL;
	e->last = ws_transport_read_into(&e->t, place, ROOM, &data);
	in_room = data == place;
	if (e->last > 0)
		end_check(e, data, e->last);
}

/* What the kernel has goes to the room, and no more of it than that holds; what was kept stays where it is. */
static void read_into(void)
{
	struct end e;
	int raw = end_new(&e);
	uint64_t at = 0;
	e.lazy = true;
	e.hook = read_into_room;
	raw_write(raw, &at, 100);
	turn_until(&e.readables, 1);
	CHECK(e.last == ROOM && in_room && e.received == ROOM);
	turn_until(&e.readables, 2);
	CHECK(e.last == 40 && in_room);
	raw_write(raw, &at, 30);
	e.hook = read_ten;
	turn_until(&e.readables, 3);
	e.hook = read_into_room;
	ws_transport_resume(&e.t);
	turn_until(&e.readables, 4);
	CHECK(e.last == 20 && !in_room);
	raw_write(raw, &at, 20);
	turn_until(&e.readables, 5);
	CHECK(e.last == 20);
	raw_write(raw, &at, 100); /* more than it is cautious with */
	turn_until(&e.readables, 6);
	CHECK(e.last == ROOM && in_room && e.received + 40 == at && !e.wrong);
	turn_until(&e.readables, 7);
	uint8_t *data;
	CHECK(ws_transport_read_into(&e.t, place, ROOM, &data) == WS_AGAIN);
	ws_transport_close(&e.t);
	CHECK(ws_transport_read_into(&e.t, place, ROOM, &data) == WS_AGAIN);
	close(raw);
}

static void ends_read_into(void)
{
	for (int broken = 0; broken < 2; broken++) {
		struct end e;
		int raw = end_new(&e);
		e.lazy = true;
		e.hook = read_into_room;
		if (broken)
			reset(raw);
		else
			shutdown(raw, SHUT_WR);
		turn_until(&e.readables, 1);
		CHECK(e.last == (broken ? WS_ERROR_SYSTEM : 0) && e.t.eof == !broken && e.t.read_failed == broken);
		read_into_room(&e);
		CHECK(e.last == (broken ? WS_ERROR_SYSTEM : 0)); /* again */
		ws_transport_close(&e.t);
		if (!broken)
			close(raw);
	}
}

static void cautious_reads(void)
{
	struct end e;
	int raw = end_new(&e);
	uint64_t at = 0;
	e.lazy = true;
	e.hook = read_ten;
	raw_write(raw, &at, 4000);
	turn_until(&e.readables, 1);
	for (int i = 0; i < 10; i++)
		raw_write(raw, &at, 4000);
	e.lazy = false;
	e.hook = NULL;
	ws_transport_resume(&e.t);
	turn_until(&e.readables, 2);
	CHECK(e.last == 3990);
	turn_until(&e.readables, 3);
	CHECK(e.last == 16 * KIB);
	ws_transport_close(&e.t);
	close(raw);
}

/* Pausing and resuming within a turn costs nothing: nothing has been told to the kernel yet. */
static void pause_within_a_turn(void)
{
	struct end e;
	int raw = end_new(&e);
	uint64_t at = 0;
	ws_transport_pause(&e.t);
	ws_transport_resume(&e.t);
	CHECK(e.t.flush.next == NULL);
	ws_transport_pause(&e.t);
	raw_write(raw, &at, 10);
	turns_now(3);
	CHECK(e.readables == 0);
	ws_transport_resume(&e.t);
	turn_until(&e.readables, 1);
	CHECK(e.received == 10);
	ws_transport_close(&e.t);
	close(raw);
}

static void fin_while_paused(void)
{
	struct end e;
	int raw = end_new(&e);
	uint64_t at = 0;
	ws_transport_pause(&e.t);
	turns_now(2);
	raw_write(raw, &at, 100);
	shutdown(raw, SHUT_WR);
	turn();
	CHECK(wakes_within(30) < 5);
	CHECK(e.readables == 0 && e.brokens == 0 && !e.t.eof);
	ws_transport_resume(&e.t);
	turn_until(&e.readables, 1);
	CHECK(e.received == 100 && !e.t.eof);
	turn_until(&e.readables, 2);
	CHECK(e.last == 0 && e.t.eof);
	turns_now(2);
	CHECK(wakes_within(30) < 5); /* the end is reported once */
	CHECK(e.readables == 2);
	uint8_t *data;
	CHECK(ws_transport_read(&e.t, &data) == 0);
	CHECK(end_write(&e, 50) == 0); /* the other direction is open */
	turn();
	uint64_t back = 0;
	raw_read(raw, &back);
	CHECK(back == 50);
	ws_transport_close(&e.t);
	close(raw);
}

static void rst_while_paused(void)
{
	struct end e;
	int raw = end_new(&e);
	uint64_t at = 0;
	ws_transport_pause(&e.t);
	turns_now(2);
	raw_write(raw, &at, 100);
	reset(raw);
	CHECK(turn_until(&e.brokens, 1) <= 3);
	CHECK(e.readables == 0 && e.t.error == ECONNRESET);
	turns_now(2);
	CHECK(wakes_within(30) < 5);
	CHECK(e.brokens == 1);
	CHECK(end_write(&e, 10) == WS_ERROR_CLOSED);
	/* What came before it can still be read, and the end is no FIN. */
	ws_transport_resume(&e.t);
	turn_until(&e.readables, 1);
	CHECK(e.received == 100 && !e.wrong);
	turn_until(&e.readables, 2);
	CHECK(e.last == WS_ERROR_SYSTEM && e.t.error == ECONNRESET && !e.t.eof);
	turns_now(2);
	CHECK(wakes_within(30) < 5);
	CHECK(e.brokens == 1);
	ws_transport_close(&e.t);
}

static void rst_before_pause(void)
{
	struct end e;
	int raw = end_new(&e);
	reset(raw);
	ws_transport_pause(&e.t); /* nothing has looked yet */
	CHECK(turn_until(&e.brokens, 1) <= 3);
	CHECK(e.t.error == ECONNRESET);
	ws_transport_close(&e.t);
}

static void rst_after_fin(void)
{
	for (int paused = 0; paused < 2; paused++) {
		struct end e;
		int raw = end_new(&e);
		if (paused)
			ws_transport_pause(&e.t);
		turns_now(2);
		shutdown(raw, SHUT_WR);
		if (paused)
			turn();
		else
			turn_until(&e.readables, 1);
		turns_now(2);
		CHECK(e.brokens == 0 && e.t.eof == !paused);
		reset(raw);
		CHECK(turn_until(&e.brokens, 1) <= 3);
		CHECK(e.t.error != 0 && e.readables == !paused);
		CHECK(wakes_within(20) < 5);
		ws_transport_close(&e.t);
	}
}

static void rst_while_reading(void)
{
	struct end e;
	int raw = end_new(&e);
	uint64_t at = 0;
	raw_write(raw, &at, 100);
	reset(raw);
	while (e.last != WS_ERROR_SYSTEM && e.readables < 5)
		turn();
	CHECK(e.received == 100 && e.last == WS_ERROR_SYSTEM && e.t.error == ECONNRESET);
	CHECK(wakes_within(20) < 5);
	uint8_t *data;
	CHECK(ws_transport_read(&e.t, &data) == WS_ERROR_SYSTEM && errno == ECONNRESET);
	CHECK(e.brokens == 0);
	ws_transport_close(&e.t);
}

/* The send learns of the RST first; what had come before it must not be lost, and no FIN be made up. */
static void write_error_with_input(void)
{
	struct end e;
	int raw = end_new(&e);
	uint64_t at = 0;
	raw_write(raw, &at, 100);
	reset(raw);
	CHECK(end_write(&e, 32 * KIB) == WS_ERROR_CLOSED);
	CHECK(e.t.write_failed && e.t.error == ECONNRESET && ws_transport_buffered(&e.t) == 0);
	turn_until(&e.readables, 1);
	CHECK(e.received == 100);
	turn_until(&e.readables, 2);
	CHECK(e.last == WS_ERROR_SYSTEM && e.t.error == ECONNRESET && !e.t.eof);
	CHECK(e.brokens == 0);
	ws_transport_close(&e.t);
}

/* The same with a FIN before the RST: then the FIN is what reading finds. */
static void write_error_with_fin(void)
{
	struct end e;
	int raw = end_new(&e);
	uint64_t at = 0;
	raw_write(raw, &at, 100);
	shutdown(raw, SHUT_WR);
	reset(raw);
	CHECK(end_write(&e, 10) == 0);
	ws_transport_flush(&e.t);
	CHECK(e.t.write_failed);
	turn_until(&e.readables, 1);
	CHECK(e.received == 100);
	turn_until(&e.readables, 2);
	CHECK(e.last == 0 && e.t.eof);
	turn_until(&e.brokens, 1);
	CHECK(e.t.error == EPIPE);
	ws_transport_close(&e.t);
}

static void write_error_while_paused(void)
{
	struct end e = {.last = 0};
	int pair[2];
	uint64_t at = 0;
	unix_pair(pair, SOCK_STREAM);
	CHECK(ws_transport_init(&e.t, loop, pair[0], &handler) == 0);
	raw_write(pair[1], &at, 100);
	close(pair[1]);
	ws_transport_pause(&e.t);
	turns_now(2);
	CHECK(e.brokens == 0); /* a FIN so far */
	CHECK(end_write(&e, 10) == 0);
	CHECK(turn_until(&e.brokens, 1) <= 3);
	CHECK(e.t.write_failed && e.t.error == EPIPE);
	ws_transport_resume(&e.t);
	turn_until(&e.readables, 2);
	CHECK(e.received == 100 && e.last == 0);
	ws_transport_close(&e.t);
}

static void ending_after_write_error(void)
{
	struct end e;
	int raw = end_new(&e);
	while (!e.t.stalled)
		CHECK(end_write(&e, 100 * KIB) == 0);
	ws_transport_end(&e.t);
	CHECK(end_write(&e, 10) == WS_ERROR_CLOSED);
	turns_now(3);
	CHECK(e.endeds == 0);
	reset(raw);
	turn_until(&e.endeds, 1);
	while (e.last != WS_ERROR_SYSTEM && e.readables < 5)
		turn();
	CHECK(!e.t.fin_sent && e.endeds == 1 && e.t.error == ECONNRESET);
	ws_transport_close(&e.t);
}

static void end_flushes(void)
{
	for (int paused = 0; paused < 2; paused++) {
		struct end e;
		int raw = end_new(&e);
		uint64_t at = 0;
		while (!e.t.stalled)
			CHECK(end_write(&e, 100 * KIB) == 0);
		CHECK(end_write(&e, 300 * KIB) == 0);
		if (paused)
			ws_transport_pause(&e.t);
		ws_transport_end(&e.t);
		turns_now(2);
		CHECK(e.endeds == 0);
		int turns = 0;
		while (e.endeds == 0 && turns++ < 100000) {
			raw_read(raw, &at);
			CHECK(ws_loop_turn(loop, 1) == 0);
		}
		while (raw_read(raw, &at) < 0 && turns++ < 1000)
			CHECK(ws_loop_turn(loop, 1) == 0);
		CHECK(at == e.sent && raw_read(raw, &at) == 0);
		CHECK(e.t.fin_sent && e.endeds == 1 && e.writtens > 0);
		close(raw);
		ws_transport_close(&e.t);
	}
}

static void end_at_once(void)
{
	struct end e;
	int raw = end_new(&e);
	uint64_t at = 0;
	CHECK(end_write(&e, 100) == 0);
	ws_transport_end(&e.t);
	ws_transport_end(&e.t);
	CHECK(e.endeds == 0);
	turn();
	CHECK(e.endeds == 1 && e.t.fin_sent);
	CHECK(raw_read(raw, &at) == 0 && at == 100);
	at = 0;
	raw_write(raw, &at, 100); /* the other direction is open */
	shutdown(raw, SHUT_WR);
	turn_until(&e.readables, 2);
	CHECK(e.received == 100 && e.t.eof && e.last == 0 && e.endeds == 1 && e.brokens == 0);
	CHECK(wakes_within(20) < 5);
	ws_transport_close(&e.t);
	close(raw);
}

static void abort_resets(void)
{
	struct end e;
	int raw = end_new(&e);
	uint8_t byte;
	ws_transport_abort(&e.t);
	ws_transport_abort(&e.t);
	ws_transport_close(&e.t);
	CHECK(e.t.fd == -1);
	ssize_t got;
	int tries = 0;
	while ((got = recv(raw, &byte, 1, 0)) < 0 && errno == EAGAIN && tries++ < 1000)
		turns_now(1);
	CHECK(got < 0 && errno == ECONNRESET);
	close(raw);
	/* Nothing happens to what is closed. */
	uint8_t *data;
	struct iovec part = {&byte, 1};
	CHECK(ws_transport_read(&e.t, &data) == WS_AGAIN);
	CHECK(ws_transport_write(&e.t, &part, 1) == WS_ERROR_CLOSED);
	CHECK(ws_transport_keep(&e.t, &byte, 1) == 0);
	ws_transport_flush(&e.t);
	ws_transport_pause(&e.t);
	ws_transport_resume(&e.t);
	ws_transport_end(&e.t);
	turns_now(2);
	CHECK(e.readables + e.brokens + e.stalleds + e.writtens + e.endeds == 0);
}

static void hook_close(struct end *e)
{
	ws_transport_close(&e->t);
}

static void hook_abort(struct end *e)
{
	ws_transport_abort(&e->t);
}

static int all_calls(const struct end *e)
{
	return e->readables + e->brokens + e->stalleds + e->writtens + e->endeds;
}

static void close_inside(void)
{
	static void (*const hooks[])(struct end *e) = {hook_close, hook_abort};
	for (size_t i = 0; i < 2; i++) {
		struct end e;
		uint64_t at = 0;
		/* on_readable */
		int raw = end_new(&e);
		e.hook = hooks[i];
		raw_write(raw, &at, 100);
		turn_until(&e.readables, 1);
		turns_now(2);
		CHECK(all_calls(&e) == 1 && e.t.fd == -1);
		close(raw);
		/* on_stalled */
		raw = end_new(&e);
		e.hook = hooks[i];
		end_stall(&e);
		turn_until(&e.stalleds, 1);
		turns_now(2);
		CHECK(all_calls(&e) == 1 && e.t.fd == -1);
		close(raw);
		/* on_broken, with an end under way */
		raw = end_new(&e);
		ws_transport_pause(&e.t);
		end_stall(&e);
		turns_now(2);
		e.hook = hooks[i];
		ws_transport_end(&e.t);
		reset(raw);
		turn_until(&e.brokens, 1);
		turns_now(2);
		CHECK(all_calls(&e) == 2 && e.t.fd == -1);
		/* on_written, with input coming in the same turn */
		raw = end_new(&e);
		turns_now(1);
		end_stall(&e);
		ws_transport_end(&e.t);
		turns_now(1);
		e.hook = hooks[i];
		for (int tries = 0; all_calls(&e) == 1 && tries < 1000; tries++) {
			uint64_t from = 0;
			static uint8_t room[MIB];
			while (recv(raw, room, sizeof room, 0) > 0)
				continue;
			raw_write(raw, &from, 1);
			CHECK(ws_loop_turn(loop, 1) == 0);
		}
		turns_now(2);
		CHECK(e.writtens == 1 && all_calls(&e) == 2 && e.t.fd == -1);
		close(raw);
		/* on_ended, with an on_readable to come in the same turn */
		raw = end_new(&e);
		raw_write(raw, &at, 100);
		e.lazy = true;
		e.hook = read_ten;
		turn_until(&e.readables, 1);
		e.hook = hooks[i];
		ws_transport_resume(&e.t);
		ws_transport_end(&e.t);
		turn_until(&e.endeds, 1);
		turns_now(2);
		CHECK(e.endeds == 1 && all_calls(&e) == 2 && e.t.fd == -1);
		close(raw);
	}
}

/* Reads kept bytes and closes while still looking at them. */
static void read_and_close(struct end *e)
{
	uint8_t *data;
	long got = ws_transport_read(&e->t, &data);
	ws_transport_close(&e->t);
	struct ws_chunk *other = ws_chunk_take(loop, 3000);
	memset(other->bytes, 0xFF, 3000);
	ws_chunk_give(loop, other);
	end_check(e, data, got);
}

static void lent_bytes_outlive_close(void)
{
	struct end e;
	int raw = end_new(&e);
	uint64_t at = 0;
	raw_write(raw, &at, 3000);
	e.lazy = true;
	e.hook = read_ten;
	turn_until(&e.readables, 1);
	e.hook = read_and_close;
	ws_transport_resume(&e.t);
	turn_until(&e.readables, 2);
	CHECK(e.received == 3000 && !e.wrong);
	turns_now(2);
	close(raw);
}

static void failing_init(void)
{
	struct end e;
	int pair[2];
	if (pipe(pair) != 0)
		abort();
	close(pair[0]);
	int copy = open("/proc/self/status", O_RDONLY | O_CLOEXEC); /* epoll takes no files; libevent warns */
	int err = dup(2), null = open("/dev/null", O_WRONLY);
	dup2(null, 2);
	errno = 0;
	int result = ws_transport_init(&e.t, loop, copy, &handler);
	int error = errno;
	dup2(err, 2);
	close(err);
	close(null);
	if (result == 0) /* a kernel that does take them */
		ws_transport_close(&e.t);
	CHECK(result == 0 || (result == WS_ERROR_SYSTEM && error != 0 && e.t.fd == -1));
	CHECK(fcntl(copy, F_GETFD) < 0);
	close(pair[1]);
}

/* Each test in a loop of its own, after which no descriptor may be left. */
static void in_loop(void (*test)(void))
{
	unsigned before = unit_descriptors();
	loop = ws_loop_new();
	if (loop == NULL)
		abort();
	test();
	ws_loop_free(loop);
	CHECK(unit_descriptors() == before);
}

#define TEST(name) static void test_##name(void) { in_loop(name); }
TEST(echo)
TEST(one_send)
TEST(cork_room)
TEST(short_writes)
TEST(write_shared)
TEST(stall_while_paused)
TEST(fifty_megabytes)
TEST(pause_keep_resume)
TEST(keep_without_pause)
TEST(read_into)
TEST(ends_read_into)
TEST(cautious_reads)
TEST(pause_within_a_turn)
TEST(fin_while_paused)
TEST(rst_while_paused)
TEST(rst_before_pause)
TEST(rst_after_fin)
TEST(rst_while_reading)
TEST(write_error_with_input)
TEST(write_error_with_fin)
TEST(write_error_while_paused)
TEST(ending_after_write_error)
TEST(end_flushes)
TEST(end_at_once)
TEST(abort_resets)
TEST(close_inside)
TEST(lent_bytes_outlive_close)
TEST(failing_init)

UNIT_MAIN({"echo", test_echo},
          {"a turn's output is one send", test_one_send},
          {"the cork has room for what is short, as long as it can be sent", test_cork_room},
          {"short writes", test_short_writes},
          {"what many are sent in a turn is one send to each, and stays whole where it waits", test_write_shared},
          {"a stall while paused", test_stall_while_paused},
          {"50 MB", test_fifty_megabytes},
          {"pause, keep, resume", test_pause_keep_resume},
          {"keep without pause: what was missing is added", test_keep_without_pause},
          {"bytes go to a room that they are given", test_read_into},
          {"an end, where there is a room to read into", test_ends_read_into},
          {"after keeping, smaller reads", test_cautious_reads},
          {"pause and resume within a turn", test_pause_within_a_turn},
          {"FIN while paused", test_fin_while_paused},
          {"RST while paused", test_rst_while_paused},
          {"RST before the pause was known", test_rst_before_pause},
          {"RST after FIN", test_rst_after_fin},
          {"RST while reading", test_rst_while_reading},
          {"a write error with input before it", test_write_error_with_input},
          {"a write error with a FIN before it", test_write_error_with_fin},
          {"a write error while paused", test_write_error_while_paused},
          {"an end after a write error", test_ending_after_write_error},
          {"an end flushes first", test_end_flushes},
          {"an end with nothing to wait for", test_end_at_once},
          {"abort resets", test_abort_resets},
          {"close inside every callback", test_close_inside},
          {"lent bytes outlive close", test_lent_bytes_outlive_close},
          {"a descriptor that cannot be watched", test_failing_init})
