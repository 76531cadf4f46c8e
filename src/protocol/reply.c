/* HTTP response heads: status line, the fields that every response has, and those that its status asks for. */
#include "protocol/reply.h"

#include <stdio.h>

#include "error.h"
#include "protocol/head_writer.h"

/* Whether valid lines have a field of that name. */
static bool lines_have(const char *lines, const char *name)
{
	const char *const names[] = { name, NULL };

	return !ws_head_lines_valid(lines, names);
}

/* The fields that a status must have, and the connection's end. */
static void fields_write(struct ws_head_writer *w, unsigned status, const char *headers)
{
	/* RFC 9110 section 15.5.6 */
	if (status == 405 && !lines_have(headers, "Allow"))
		ws_head_write(w, "Allow: GET\r\n");
	/* RFC 6455 section 4.4 */
	if (status == 426 && !lines_have(headers, "Sec-WebSocket-Version"))
		ws_head_write(w, "Sec-WebSocket-Version: 13\r\n");
	/* RFC 9110 sections 15.5.22 and 7.8: Upgrade is always listed in Connection. */
	ws_head_write(w, status == 426 ? "Upgrade: websocket\r\nConnection: Upgrade, close\r\n"
		: "Connection: close\r\n");
}

/* What the body is. RFC 9110 section 8.6: no Content-Length in a 204; in a 304 it would be that of the 200. */
static void body_write(struct ws_head_writer *w, const struct ws_reply *reply)
{
	if (ws_reply_has_body(reply->status) && !lines_have(reply->headers, "Content-Type"))
		ws_head_write(w, "Content-Type: text/plain; charset=utf-8\r\n");
	if (reply->status == 204 || reply->status == 304)
		return;
	ws_head_write(w, "Content-Length: ");
	ws_head_write_number(w, ws_reply_has_body(reply->status) ? reply->length : 0);
	ws_head_write(w, "\r\n");
}

static void date_write(struct ws_head_writer *w, const struct ws_reply *reply)
{
	char date[WS_REPLY_DATE];

	if (lines_have(reply->headers, "Date"))
		return;
	ws_reply_date(date, reply->time);
	ws_head_write(w, "Date: ");
	ws_head_write(w, date);
	ws_head_write(w, "\r\n");
}

long ws_reply_head(char *out, size_t size, const struct ws_reply *reply)
{
	static const char *const own[] = { "Connection", "Content-Length", "Transfer-Encoding", "Upgrade", NULL };
	struct ws_head_writer w = { out, size, 0 };

	if (reply->status < 200 || reply->status > 599 || !ws_head_lines_valid(reply->headers, own))
		return WS_ERROR_PROTOCOL;
	ws_head_write(&w, "HTTP/1.1 ");
	ws_head_write_number(&w, reply->status);
	ws_head_write(&w, " ");
	ws_head_write(&w, ws_reply_phrase(reply->status));
	ws_head_write(&w, "\r\n");
	date_write(&w, reply);
	body_write(&w, reply);
	fields_write(&w, reply->status, reply->headers);
	ws_head_write(&w, reply->headers);
	ws_head_write(&w, "\r\n");
	return (long)w.used;
}

bool ws_reply_has_body(unsigned status)
{
	return status != 204 && status != 205 && status != 304;
}

/* The days are counted from 1 March of year 0, so that a leap day is the last of its year. */
void ws_reply_date(char text[WS_REPLY_DATE], int64_t time)
{
	static const char *const names[] = { "Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed" };
	static const char *const months[] = {
		"Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Jan", "Feb"
	};
	const int64_t latest = 253402300799; /* the last second of 9999 */
	const unsigned long long seconds = (unsigned long long)(time < 0 ? 0 : time > latest ? latest : time);
	const unsigned since_1970 = (unsigned)(seconds / 86400), of_day = (unsigned)(seconds % 86400);
	const unsigned days = since_1970 + 719468, era = days / 146097, of_era = days % 146097;
	const unsigned year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	const unsigned of_year = of_era - (365 * year + year / 4 - year / 100);
	const unsigned month = (5 * of_year + 2) / 153, day = of_year - (153 * month + 2) / 5 + 1;

	snprintf(text, WS_REPLY_DATE, "%s, %02u %s %04u %02u:%02u:%02u GMT", names[since_1970 % 7], day % 100,
		months[month % 12], (year + era * 400 + (month >= 10)) % 10000, of_day / 3600 % 100,
		of_day / 60 % 60, of_day % 60);
}

const char *ws_reply_phrase(unsigned status)
{
	static const struct {
		unsigned status;
		const char *phrase;
	} phrases[] = {
		{ 100, "Continue" }, { 101, "Switching Protocols" },
		{ 200, "OK" }, { 201, "Created" }, { 202, "Accepted" }, { 203, "Non-Authoritative Information" },
		{ 204, "No Content" }, { 205, "Reset Content" }, { 206, "Partial Content" },
		{ 300, "Multiple Choices" }, { 301, "Moved Permanently" }, { 302, "Found" }, { 303, "See Other" },
		{ 304, "Not Modified" }, { 305, "Use Proxy" }, { 307, "Temporary Redirect" },
		{ 308, "Permanent Redirect" },
		{ 400, "Bad Request" }, { 401, "Unauthorized" }, { 402, "Payment Required" }, { 403, "Forbidden" },
		{ 404, "Not Found" }, { 405, "Method Not Allowed" }, { 406, "Not Acceptable" },
		{ 407, "Proxy Authentication Required" }, { 408, "Request Timeout" }, { 409, "Conflict" },
		{ 410, "Gone" }, { 411, "Length Required" }, { 412, "Precondition Failed" },
		{ 413, "Content Too Large" }, { 414, "URI Too Long" }, { 415, "Unsupported Media Type" },
		{ 416, "Range Not Satisfiable" }, { 417, "Expectation Failed" }, { 421, "Misdirected Request" },
		{ 422, "Unprocessable Content" }, { 426, "Upgrade Required" },
		{ 428, "Precondition Required" }, { 429, "Too Many Requests" },      /* RFC 6585 */
		{ 431, "Request Header Fields Too Large" },                          /* RFC 6585 */
		{ 500, "Internal Server Error" }, { 501, "Not Implemented" }, { 502, "Bad Gateway" },
		{ 503, "Service Unavailable" }, { 504, "Gateway Timeout" }, { 505, "HTTP Version Not Supported" }
	};

	for (size_t i = 0; i < sizeof phrases / sizeof *phrases; i++)
		if (phrases[i].status == status)
			return phrases[i].phrase;
	return "Unknown";
}
