// uWebSockets, as its examples EchoServer and Broadcast do it. Prints its port.
//     uwebsockets echo | shared | takeover | publish
//     uwebsockets tls CERTIFICATE KEY
#include <cstdio>
#include <string>

#include "App.h"

struct Nothing {};

static uWS::CompressOptions compression(const std::string &mode)
{
	if (mode == "shared")
		return uWS::CompressOptions(uWS::SHARED_COMPRESSOR | uWS::SHARED_DECOMPRESSOR);
	if (mode == "takeover")
		return uWS::CompressOptions(uWS::DEDICATED_COMPRESSOR | uWS::DEDICATED_DECOMPRESSOR);
	return uWS::DISABLED;
}

template <typename App> static void serve(App app, const std::string &mode)
{
	const bool publishes = mode == "publish";

	app.template ws<Nothing>("/*", {
		.compression = compression(mode),
		.maxPayloadLength = 64 * 1024 * 1024,
		.idleTimeout = 120,
		.maxBackpressure = 64 * 1024 * 1024,
		.open = [publishes](auto *ws) {
			if (publishes)
				ws->subscribe("all");
		},
		.message = [&app, publishes](auto *ws, std::string_view message, uWS::OpCode kind) {
			if (publishes)
				app.publish("all", message, kind);
			else
				ws->send(message, kind, true);
		}
	}).listen("127.0.0.1", 0, [](us_listen_socket_t *socket) {
		if (socket != nullptr)
			std::printf("%d\n", us_socket_local_port(0, reinterpret_cast<us_socket_t *>(socket)));
		std::fflush(stdout);
	}).run();
}

int main(int argc, char **argv)
{
	const std::string mode = argc > 1 ? argv[1] : "echo";

	if (mode == "tls")
		serve(uWS::SSLApp({ .key_file_name = argv[3], .cert_file_name = argv[2] }), mode);
	else
		serve(uWS::App(), mode);
}
