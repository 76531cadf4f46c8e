/* The frames of a message that goes to many. */
#include "endpoint/prepared.h"

#include <stdlib.h>
#include <string.h>

static void frame_init(struct ws_prepared_frame *f, unsigned opcode, const void *data, size_t len)
{
	*f = (struct ws_prepared_frame){ .opcode = opcode, .data = data, .len = len };
	f->head_size = (uint8_t)ws_frame_head(f->head, opcode, true, len, NULL);
}

void ws_prepared_init(struct ws_prepared *p, enum ws_opcode kind, const void *data, size_t len)
{
	p->compressed = NULL;
	p->copy = NULL;
	frame_init(&p->plain, kind, data, len);
}

static void frame_clear(struct ws_prepared_frame *f)
{
	if (f->common.copy)
		ws_shared_release(f->common.copy);
	f->common.copy = NULL;
}

void ws_prepared_clear(struct ws_prepared *p)
{
	frame_clear(&p->plain);
	while (p->compressed) {
		struct ws_prepared_frame *f = p->compressed;
		p->compressed = f->next;
		frame_clear(f);
		free(f);
	}
	if (p->copy)
		ws_prepared_release(p->copy);
	p->copy = NULL;
}

/* The frame, with its payload behind it. NULL: it cannot be compressed. */
static struct ws_prepared_frame *compress(struct ws_prepared *p, struct ws_deflate *deflate)
{
	const void *data = p->plain.data;
	size_t len = p->plain.len;
	if (!ws_deflate_message(deflate, &data, &len))
		return NULL;
	struct ws_prepared_frame *f = malloc(sizeof *f + len);
	if (!f)
		return NULL;
	memcpy(f + 1, data, len);
	frame_init(f, p->plain.opcode | WS_RSV1, f + 1, len);
	return f;
}

struct ws_prepared_frame *ws_prepared_compressed(struct ws_prepared *p, struct ws_deflate *deflate)
{
	const unsigned likeness = ws_deflate_likeness(deflate);
	struct ws_prepared_frame *f = p->compressed;
	while (f && f->likeness != likeness)
		f = f->next;
	if (f || !(f = compress(p, deflate)))
		return f ? f : &p->plain;
	f->likeness = likeness;
	f->next = p->compressed;
	p->compressed = f;
	return f;
}

static struct ws_prepared_copy *copy_new(const struct ws_prepared *p)
{
	const size_t len = p->plain.len;
	struct ws_prepared_copy *copy = malloc(sizeof *copy + len);
	if (!copy)
		return NULL;
	copy->references = 1;
	if (len)
		memcpy(copy->data, p->plain.data, len);
	ws_prepared_init(&copy->message, (enum ws_opcode)p->plain.opcode, copy->data, len);
	return copy;
}

struct ws_prepared_copy *ws_prepared_copy(struct ws_prepared *p)
{
	if (!p->copy && !(p->copy = copy_new(p)))
		return NULL;
	p->copy->references++;
	return p->copy;
}

void ws_prepared_release(struct ws_prepared_copy *copy)
{
	if (--copy->references > 0)
		return;
	ws_prepared_clear(&copy->message);
	free(copy);
}
