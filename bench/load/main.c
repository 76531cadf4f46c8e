/*
 * Load for a WebSocket server on 127.0.0.1, and the clock of what it takes.
 *
 *     load -p PORT -s SERVER-PID [-c CONNECTIONS] [-k binary|ascii|cjk|json] [-b BYTES] [-n IN-FLIGHT] [-f FRAGMENT]
 *          [-t] [-z shared|takeover]
 *
 * -t: over TLS, with one cipher, so that all servers do the same work. -z: with compression, that takes nothing over
 * or does. Prints "ready" once all connections are open. Every line of its input, "WORD [MILLISECONDS [RATE]]" with one
 * of the words in measure(), is answered by a line of JSON. Ends with its input.
 */
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

/* Of a word, milliseconds and a rate. */
static struct result measure(struct load *load, const char *line)
{
	static const struct {
		const char *word;
		struct result (*measure)(struct load *load, uint64_t milliseconds);
	} measures[] = {
		{ "check", measure_check }, { "echo", measure_echo }, { "pace", measure_pace },
		{ "publish", measure_publish }, { "handshakes", measure_handshakes },
	};
	unsigned long long milliseconds = 0, rate = 0;
	char word[16] = "";

	(void)sscanf(line, "%15s %llu %llu", word, &milliseconds, &rate);
	load->rate = rate;
	for (size_t i = 0; i < sizeof measures / sizeof *measures; i++)
		if (strcmp(word, measures[i].word) == 0)
			return measures[i].measure(load, milliseconds);
	die(line);
	return (struct result){ 0 };
}

static void print_number(const char *name, uint64_t number, const char *end)
{
	(void)printf("\"%s\": %llu%s", name, (unsigned long long)number, end);
}

static void print_result(const struct result *result)
{
	(void)putchar('{');
	print_number("messages", result->messages, ", ");
	print_number("ns", result->nanoseconds, ", ");
	print_number("server_ns", result->server_cpu, ", ");
	print_number("load_ns", result->load_cpu, ", ");
	print_number("bytes", result->bytes, ", ");
	print_number("p50", result->p50, ", ");
	print_number("p99", result->p99, ", ");
	print_number("p999", result->p999, "}\n");
	(void)fflush(stdout);
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
		options.compression != NULL, takeover);
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

	while (fgets(line, sizeof line, stdin) != NULL) {
		const struct result result = measure(&load, line);
		print_result(&result);
	}
	return EXIT_SUCCESS;
}
