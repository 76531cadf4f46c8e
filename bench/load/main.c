/*
 * Load for a WebSocket server on 127.0.0.1, and the clock of what it takes.
 *
 *     load -p PORT -s SERVER-PID [-c CONNECTIONS] [-k binary|ascii|cjk|json] [-b BYTES] [-n IN-FLIGHT] [-f FRAGMENT]
 *          [-t] [-z shared|takeover]
 *
 * -t: over TLS, with one cipher, so that all servers do the same work. -z: with compression, that takes nothing over
 * or does. Prints "ready" once all connections are open. Every line of its input, a word of the table below with its
 * numbers, is answered by a line of JSON. Ends with its input.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "measure.h"

struct options {
	const char *kind, *compression;
	size_t bytes, fragment;
	bool tls;
};

static size_t to_number(const char *text)
{
	char *end;
	const size_t number = strtoull(text, &end, 10);

	if (*text == '\0' || *end != '\0')
		die(text);
	return number;
}

static enum kind to_kind(const char *name)
{
	static const char *const names[] = { "binary", "ascii", "cjk", "json" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(name, names[i]) == 0)
			return (enum kind)i;
	die(name);
	return KIND_BINARY;
}

static struct options read_options(int argc, char **argv, struct load *load)
{
	struct options options = { .kind = "binary", .bytes = 20, .fragment = SIZE_MAX };
	int option;

	while ((option = getopt(argc, argv, "p:s:c:k:b:n:f:tz:")) != -1)
		switch (option) {
		case 'p': load->target.port = (uint16_t)to_number(optarg); break;
		case 's': load->server = (pid_t)to_number(optarg); break;
		case 'c': load->count = to_number(optarg); break;
		case 'k': options.kind = optarg; break;
		case 'b': options.bytes = to_number(optarg); break;
		case 'n': load->in_flight = to_number(optarg); break;
		case 'f': options.fragment = to_number(optarg); break;
		case 't': options.tls = true; break;
		case 'z': options.compression = optarg; break;
		default: exit(EXIT_FAILURE);
		}
	return options;
}

static SSL_CTX *make_tls(void)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());

	if (context == NULL || SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1
		|| SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256") != 1)
		die("TLS");
	(void)SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER
		| SSL_MODE_RELEASE_BUFFERS);
	return context;
}

static bool answer(struct load *load, const char *line)
{
	unsigned long long milliseconds = 0, rate = 0;
	char word[16] = "";
	struct result result;

	(void)sscanf(line, "%15s %llu %llu", word, &milliseconds, &rate);
	if (strcmp(word, "check") == 0)
		result = measure_check(load);
	else if (strcmp(word, "echo") == 0)
		result = measure_echo(load, milliseconds);
	else if (strcmp(word, "pace") == 0)
		result = measure_pace(load, milliseconds, rate);
	else if (strcmp(word, "publish") == 0)
		result = measure_publish(load, milliseconds);
	else if (strcmp(word, "handshakes") == 0)
		result = measure_handshakes(load, milliseconds);
	else
		return false;
	(void)printf("{\"messages\": %llu, \"ns\": %llu, \"server_ns\": %llu, \"load_ns\": %llu, \"bytes\": %llu, "
		"\"p50\": %llu, \"p99\": %llu, \"p999\": %llu}\n", (unsigned long long)result.messages,
		(unsigned long long)result.nanoseconds, (unsigned long long)result.server_cpu,
		(unsigned long long)result.load_cpu, (unsigned long long)result.bytes, (unsigned long long)result.p50,
		(unsigned long long)result.p99, (unsigned long long)result.p999);
	(void)fflush(stdout);
	return true;
}

int main(int argc, char **argv)
{
	struct load load = { .target.epoll = epoll_create1(EPOLL_CLOEXEC), .in_flight = 1 };
	const struct options options = read_options(argc, argv, &load);
	const bool takeover = options.compression != NULL && strcmp(options.compression, "takeover") == 0;
	struct rlimit files;
	struct script script;
	char line[64];

	(void)getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &files);
	(void)prctl(PR_SET_TIMERSLACK, 1); /* nanosecond, lest a pace goes in steps of 50 us */
	(void)signal(SIGPIPE, SIG_IGN);

	script = script_new(load.in_flight, to_kind(options.kind), options.bytes, options.fragment,
		options.compression != NULL, !takeover);
	load.target.script = &script;
	load.target.deflated = options.compression != NULL;
	load.target.takeover = takeover;
	load.target.tls = options.tls ? make_tls() : NULL;
	load.connections = calloc(load.count, sizeof *load.connections);
	if (load.count > 0 && load.connections == NULL)
		die("calloc");
	open_all(&load);
	(void)printf("ready\n");
	(void)fflush(stdout);

	while (fgets(line, sizeof line, stdin) != NULL)
		if (!answer(&load, line)) {
			errno = 0;
			die(line);
		}
	return EXIT_SUCCESS;
}
