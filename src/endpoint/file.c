/* Opens files of a folder that no path leads out of, and sends them under backpressure. */
#include "endpoint/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "endpoint/connection_private.h"
#include "error.h"

/* Of one turn: so that nobody else waits for long, and that a peer that reads slowly costs no more memory. */
enum { PIECE = 128 * 1024 };

int ws_folder_open(const char *path)
{
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Looks first: to open a FIFO or a device does something to it. */
static int open_regular(int folder, const char *name, struct stat *st)
{
	if (fstatat(folder, name, st, AT_SYMLINK_NOFOLLOW) != 0)
		return -1;
	if (!S_ISREG(st->st_mode)) {
		errno = S_ISDIR(st->st_mode) ? EISDIR : EACCES;
		return -1;
	}
	int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0 && (fstat(fd, st) != 0 || !S_ISREG(st->st_mode))) { /* it has been replaced meanwhile */
		close(fd);
		errno = EACCES;
		return -1;
	}
	return fd;
}

/* Walks to the file, name by name: a link in the middle is as bad as one at the end. Changes path. */
static int walk(int folder, char *path, struct stat *st)
{
	int at = folder, fd = -1;
	char *slash;
	while ((slash = strchr(path, '/'))) {
		*slash = '\0';
		int next = openat(at, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		int wrong = errno;
		if (at != folder)
			close(at);
		errno = wrong;
		if (next < 0)
			return -1;
		at = next;
		path = slash + 1;
	}
	fd = open_regular(at, path, st);
	int wrong = errno;
	if (at != folder)
		close(at);
	errno = wrong;
	return fd;
}

int ws_file_open(struct ws_file **out, int folder, const char *path)
{
	struct ws_file *file = malloc(sizeof *file);
	char *copy = strdup(path);
	struct stat st;
	if (!file || !copy) {
		free(file);
		free(copy);
		return WS_ERROR_MEMORY;
	}
	int fd = walk(folder, copy, &st);
	free(copy);
	if (fd < 0) {
		free(file);
		return WS_ERROR_SYSTEM;
	}
	*file = (struct ws_file){ .fd = fd, .size = (uint64_t)st.st_size, .modified = st.st_mtime };
	*out = file;
	return 0;
}

void ws_file_free(struct ws_file *file)
{
	if (!file)
		return;
	close(file->fd);
	free(file);
}

/* Bytes of the next piece, in the loop's buffer; 0: the file has become shorter, or cannot be read. */
static size_t read_piece(struct ws_connection *c, const struct ws_file *file)
{
	const uint64_t left = file->size - file->sent;
	ssize_t got;
	do
		got = pread(file->fd, ws_loop_receive_buffer(c->endpoint->loop), left < PIECE ? (size_t)left : PIECE,
		            (off_t)file->sent);
	while (got < 0 && errno == EINTR);
	return got < 0 ? 0 : (size_t)got;
}

static void finish(struct ws_connection *c)
{
	ws_file_free(c->file);
	c->file = NULL;
	ws_transport_end(&c->transport);
}

void ws_file_continue(struct ws_connection *c)
{
	struct ws_file *file = c->file;
	if (!file || ws_transport_buffered(&c->transport) > 0)
		return;
	size_t got = file->sent < file->size ? read_piece(c, file) : 0;
	struct iovec part = { ws_loop_receive_buffer(c->endpoint->loop), got };
	if (file->sent == file->size) {
		finish(c);
	} else if (got == 0) { /* what has been announced cannot be sent: the peer must not take this for the whole */
		ws_connection_terminate(c, "the file has become shorter");
	} else if (ws_transport_write(&c->transport, &part, 1) == 0) {
		file->sent += got;
		ws_loop_defer(c->endpoint->loop, &c->work); /* others first */
	} else { /* the peer is gone, which reading finds out, or there is no memory */
		ws_connection_terminate(c, "the file could not be sent");
	}
}
