/* A file of a folder as the body of an answer: sent piece by piece, as the peer takes it. */
#ifndef WS_ENDPOINT_FILE_H
#define WS_ENDPOINT_FILE_H

#include <stdint.h>

#include "endpoint/connection.h"

#pragma GCC visibility push(hidden)

struct ws_file {
	int fd;
	uint64_t size, sent; /* bytes */
	int64_t modified;    /* seconds since 1970 */
};

/* A descriptor of the folder, for ws_file_open. Negative: errno says why. */
int ws_folder_open(const char *path);

/*
 * Opens a regular file by its path below the folder: names with single slashes between them. What is a symbolic link on
 * the way or at its end, a folder, a device or a FIFO is not opened. 0; WS_ERROR_MEMORY; or WS_ERROR_SYSTEM, with EISDIR
 * for a folder, and otherwise what openat says, or EACCES.
 */
int ws_file_open(struct ws_file **file, int folder, const char *path);

/* NULL is allowed. */
void ws_file_free(struct ws_file *file);

/* Sends the next piece of the connection's file, once all before it has left; at the end, ends the connection. */
void ws_file_continue(struct ws_connection *c);

#pragma GCC visibility pop

#endif
