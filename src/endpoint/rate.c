/* What is over leaves a debt, which time pays off. */
#include "endpoint/rate.h"

bool ws_rate_limits(const struct ws_rate_options *options)
{
	return options->burst > 0;
}

/* What a bucket holds now, after something was taken out. */
static double level(double before, double elapsed, double rate, double most, double taken)
{
	double filled = before + elapsed * rate;
	return (filled < most ? filled : most) - taken;
}

static double debt(double held, double rate)
{
	return rate > 0 && held < 0 ? -held / rate : 0;
}

bool ws_rate_take(struct ws_rate *r, const struct ws_rate_options *options, unsigned messages, size_t bytes, uint64_t now)
{
	double burst = options->burst, most = options->messages * burst > 1 ? options->messages * burst : 1;
	double elapsed = r->at ? (double)(now - r->at) / 1000 : burst + 1 / (options->messages > 0 ? options->messages : 1);
	r->messages = level(r->messages, elapsed, options->messages, most, messages);
	r->bytes = level(r->bytes, elapsed, options->bytes, options->bytes * burst, (double)bytes);
	r->at = now;
	double of_messages = debt(r->messages, options->messages), of_bytes = debt(r->bytes, options->bytes);
	double seconds = of_messages > of_bytes ? of_messages : of_bytes;
	r->until = now + (uint64_t)(seconds * 1000) + 1;
	return seconds > 0;
}
