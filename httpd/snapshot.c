/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /v1/snapshot: catalogd writes and reads the archive as a file of the run directory; httpd carries
 * the bytes.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/sys/clock.h"
#include "httpd/httpd.h"
#include "httpd/routes.h"

enum { SNAPSHOT_MS = 300000, PIECE_SIZE = 128 << 10 };

struct download {
	int fd;
};

static enum stream_state produce(struct exchange *x, struct buf *out)
{
	struct download *d = x->state;
	ssize_t n = read(d->fd, buf_reserve(out, PIECE_SIZE), PIECE_SIZE);

	if (n <= 0) {
		return n < 0 ? STREAM_FAIL : STREAM_END;
	}
	out->n += (size_t)n;
	return STREAM_MORE;
}

static void close_download(struct exchange *x)
{
	struct download *d = x->state;

	close(d->fd);
}

/* Opens what catalogd wrote, which has no name from then on. -errno */
static int take_file(struct exchange *x, struct str path, int64_t *size_out)
{
	const char *name = arena_str(&x->arena, path).p;
	OWN_FD int fd = open(name, O_RDONLY | O_CLOEXEC);
	struct download *d;
	struct stat st;

	if (fd < 0 || fstat(fd, &st)) {
		return err_errno("open %s", name);
	}
	unlink(name);
	*size_out = st.st_size;
	x->state = d = arena_new(&x->arena, struct download);
	d->fd = take_fd(&fd);
	return 0;
}

static void on_saved(struct exchange *x, int status, struct str payload)
{
	struct stream stream = { produce, close_download, 0, 0, STR("application/x-gzip") };
	struct snapshot_save_reply m;

	status = EXCHANGE_DECODE(x, snapshot_save, status, payload, &m);
	if (status || m.result.kind != RESULT_OK) {
		answer_result(x, status, &m.result);
	} else if (take_file(x, m.path, &stream.size)) {
		answer_printf(x, 500, "failed to open the snapshot: %s", err_text());
	} else {
		answer_index(x, m.index);
		x->answer.has_leader = x->answer.known_leader = true;
		answer_stream(x, 200, &stream);
	}
}

void handle_snapshot_save(struct exchange *x)
{
	struct snapshot_save m = { .token = exchange_token(x) };

	EXCHANGE_CALL(x, x->httpd->catalog_write, snapshot_save, &m, SNAPSHOT_MS, on_saved);
}

void handle_snapshot_restore(struct exchange *x)
{
	struct snapshot_restore m = {
		.id = exchange_request_id(x),
		.token = exchange_token(x),
		.path = str_of(x->upload_path),
	};

	EXCHANGE_CALL(
		x, x->httpd->catalog_write, snapshot_restore, &m, SNAPSHOT_MS, exchange_on_done);
}
