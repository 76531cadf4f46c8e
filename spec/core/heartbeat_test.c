/* The heartbeat's arithmetic, without a clock. */
#include "endpoint/heartbeat.h"

#include "unit.h"

static const struct ws_heartbeat_options options = { .interval = 100, .timeout = 50 };

static void test_off(void)
{
	static const struct ws_heartbeat_options off = { 0, 50 };
	struct ws_heartbeat h = { 0 };
	CHECK(ws_heartbeat_due(&h, &off, 1000) == WS_NEVER);
	CHECK(ws_heartbeat_check(&h, &off, 0, 1000000) == WS_HEARTBEAT_FINE);
}

static void test_silence(void)
{
	struct ws_heartbeat h = { 0 };
	CHECK(ws_heartbeat_due(&h, &options, 1000) == 1100);
	CHECK(ws_heartbeat_check(&h, &options, 1000, 1099) == WS_HEARTBEAT_FINE);
	CHECK(ws_heartbeat_check(&h, &options, 1000, 1100) == WS_HEARTBEAT_PING);
	ws_heartbeat_sent(&h, 1100);
	CHECK(ws_heartbeat_due(&h, &options, 1000) == 1150);
	CHECK(ws_heartbeat_check(&h, &options, 1000, 1149) == WS_HEARTBEAT_FINE);
	CHECK(ws_heartbeat_check(&h, &options, 1000, 1150) == WS_HEARTBEAT_LOST);
}

static void test_life(void)
{
	struct ws_heartbeat h = { 0 };
	ws_heartbeat_sent(&h, 1100);
	ws_heartbeat_alive(&h);
	CHECK(ws_heartbeat_due(&h, &options, 1120) == 1220);
	CHECK(ws_heartbeat_check(&h, &options, 1120, 1150) == WS_HEARTBEAT_FINE);
}

static void test_no_verdict(void)
{
	static const struct ws_heartbeat_options pings = { 100, 0 };
	struct ws_heartbeat h = { 0 };
	CHECK(ws_heartbeat_check(&h, &pings, 1000, 1100) == WS_HEARTBEAT_PING);
	ws_heartbeat_sent(&h, 1100);
	CHECK(ws_heartbeat_due(&h, &pings, 1000) == WS_NEVER);
	CHECK(ws_heartbeat_check(&h, &pings, 1000, 1000000) == WS_HEARTBEAT_FINE);
}

static void test_suspended(void)
{
	struct ws_heartbeat h = { 0 };
	ws_heartbeat_sent(&h, 1100);
	ws_heartbeat_suspend(&h, true, 1120);
	CHECK(ws_heartbeat_due(&h, &options, 1000) == WS_NEVER);
	CHECK(ws_heartbeat_check(&h, &options, 1000, 9000) == WS_HEARTBEAT_FINE);
	ws_heartbeat_suspend(&h, false, 9000); /* the whole timeout again */
	CHECK(ws_heartbeat_due(&h, &options, 1000) == 9050);
	ws_heartbeat_suspend(&h, false, 9040); /* which is not begun anew by saying so again */
	CHECK(ws_heartbeat_due(&h, &options, 1000) == 9050);
	ws_heartbeat_suspend(&h, true, 9045);
	ws_heartbeat_alive(&h); /* the next ping is due after the interval, whether it can be heard or not */
	ws_heartbeat_suspend(&h, true, 9046);
	CHECK(ws_heartbeat_due(&h, &options, 9045) == 9145);
	ws_heartbeat_sent(&h, 9145);
	ws_heartbeat_suspend(&h, true, 9145);
	CHECK(ws_heartbeat_due(&h, &options, 9045) == WS_NEVER);
}

UNIT_MAIN(
	{ "without an interval there is none", test_off },
	{ "silence earns a ping, silence after it the verdict", test_silence },
	{ "whatever comes counts as life", test_life },
	{ "without a timeout there are pings, and no verdict", test_no_verdict },
	{ "silence proves nothing while we do not listen", test_suspended }
)
