/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tar (ustar, regular files) through zlib (zlib.h belongs to what compresses: here and in httpd's
 * output).
 */
#include "common/sys/archive.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>
#include <zlib.h>

#include "common/sys/digest.h"

enum {
	BLOCK = 512,
	PIECE = 64 << 10,
	GZIP_WINDOW = 15 + 16,
	GZIP_HEAD = 10,
	MEMBERS_MAX = 8,
	SUMS_MAX = 4096
};

static const char sums_name[] = "SHA256SUMS";

/* ---- writing ---- */

struct out {
	int fd;
	z_stream z;
	int error;
	unsigned char room[PIECE];
};

static void out_flush(struct out *o)
{
	size_t n = sizeof(o->room) - o->z.avail_out, at = 0;

	while (!o->error && at < n) {
		ssize_t written = write(o->fd, o->room + at, n - at);

		if (written < 0 && errno != EINTR) {
			o->error = err_errno("write archive");
		} else if (written > 0) {
			at += (size_t)written;
		}
	}
	o->z.next_out = o->room;
	o->z.avail_out = sizeof(o->room);
}

static void out_put(struct out *o, struct str bytes, int flush)
{
	int r;

	o->z.next_in = (unsigned char *)(uintptr_t)bytes.p;
	o->z.avail_in = (unsigned)bytes.n;
	do {
		r = deflate(&o->z, flush);
		must(r == Z_OK || r == Z_STREAM_END || r == Z_BUF_ERROR);
		if (!o->z.avail_out || flush == Z_FINISH) {
			out_flush(o);
		}
	} while (!o->error && (o->z.avail_in || (flush == Z_FINISH && r != Z_STREAM_END)));
}

static void out_header(struct out *o, const char *name, uint64_t size)
{
	char block[BLOCK] = { 0 };
	unsigned sum = 0;

	must(strlen(name) < 100);
	memcpy(block, name, strlen(name));
	snprintf(block + 100, 8, "%07o", 0600);
	snprintf(block + 108, 8, "%07o", 0);
	snprintf(block + 116, 8, "%07o", 0);
	snprintf(block + 124, 12, "%011llo", (unsigned long long)size);
	snprintf(block + 136, 12, "%011o", 0);
	memset(block + 148, ' ', 8);
	block[156] = '0';
	memcpy(block + 257, "ustar\00000", 8);
	for (size_t i = 0; i < sizeof(block); i++) {
		sum += (unsigned char)block[i];
	}
	snprintf(block + 148, 8, "%06o", sum);
	out_put(o, str_n(block, sizeof(block)), Z_NO_FLUSH);
}

static void out_padding(struct out *o, uint64_t size)
{
	static const char zeros[BLOCK];

	out_put(o, str_n(zeros, (BLOCK - size % BLOCK) % BLOCK), Z_NO_FLUSH);
}

static void out_file(struct out *o, const struct archive_member *m, struct sha256 *d)
{
	char piece[PIECE];
	off_t size = lseek(m->fd, 0, SEEK_END), at = 0;
	ssize_t n;

	if (size < 0) {
		o->error = err_errno("seek %s", m->name);
		return;
	}
	out_header(o, m->name, (uint64_t)size);
	while (at < size && !o->error) {
		n = pread(m->fd, piece, min_of(sizeof(piece), (size_t)(size - at)), at);
		if (n <= 0) {
			o->error = n < 0 ? err_errno("read %s", m->name)
					 : err_new(-EIO, "read %s: it shrank", m->name);
			return;
		}
		sha256_add(d, str_n(piece, (size_t)n));
		out_put(o, str_n(piece, (size_t)n), Z_NO_FLUSH);
		at += n;
	}
	out_padding(o, (uint64_t)size);
}

static void out_bytes(struct out *o, const char *name, struct str bytes)
{
	out_header(o, name, bytes.n);
	out_put(o, bytes, Z_NO_FLUSH);
	out_padding(o, bytes.n);
}

static void out_members(struct out *o, const struct archive_member *members, size_t count)
{
	static const char end[2 * BLOCK];
	OWN_EMBEDDED(buf_fini) struct buf sums = { 0 };
	uint8_t sum[SHA256_SIZE];

	for (size_t i = 0; i < count && !o->error; i++) {
		struct sha256 *d = sha256_new();

		if (members[i].fd >= 0) {
			out_file(o, &members[i], d);
		} else {
			sha256_add(d, members[i].bytes);
			out_bytes(o, members[i].name, members[i].bytes);
		}
		sha256_end(d, sum);
		hex_render(&sums, sum, sizeof(sum));
		buf_printf(&sums, "  %s\n", members[i].name);
	}
	out_bytes(o, sums_name, buf_str(&sums));
	out_put(o, str_n(end, sizeof(end)), Z_FINISH);
}

int archive_write(int fd, const struct archive_member *members, size_t count)
{
	OWN(free) struct out *o = xcalloc(1, sizeof(*o));

	o->fd = fd;
	must(count < MEMBERS_MAX);
	must(deflateInit2(&o->z, Z_BEST_SPEED, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) ==
		Z_OK);
	o->z.next_out = o->room;
	o->z.avail_out = sizeof(o->room);
	out_members(o, members, count);
	deflateEnd(&o->z);
	return o->error;
}

/* ---- reading ---- */

struct in {
	int fd;
	z_stream z;
	bool ended;
	int error;	   /* of the environment */
	const char *fault; /* in Go's words */
	unsigned char room[PIECE];
};

static bool in_more(struct in *in)
{
	ssize_t n = read(in->fd, in->room, sizeof(in->room));

	if (n < 0) {
		in->error = err_errno("read archive");
		in->fault = "read error";
	}
	in->z.next_in = in->room;
	in->z.avail_in = n > 0 ? (unsigned)n : 0;
	return n > 0;
}

/* The gzip header is looked at first: its errors are told apart from those of what is in it. */
static void in_open(struct in *in)
{
	static const unsigned char magic[] = { 0x1f, 0x8b, 8 };

	must(inflateInit2(&in->z, GZIP_WINDOW) == Z_OK);
	if (!in_more(in)) {
		in->fault = in->fault ? in->fault : "EOF";
	} else if (in->z.avail_in < GZIP_HEAD) {
		in->fault = "unexpected EOF";
	} else if (memcmp(in->room, magic, sizeof(magic)) != 0) {
		in->fault = "gzip: invalid header";
	}
}

/* Reads n bytes; fewer only at the end or with a fault. */
static size_t in_read(struct in *in, char *out, size_t n)
{
	int r;

	in->z.next_out = (unsigned char *)out;
	in->z.avail_out = (unsigned)n;
	while (in->z.avail_out && !in->ended && !in->fault) {
		if (!in->z.avail_in && !in_more(in)) {
			in->fault = in->fault ? in->fault : "unexpected EOF";
			break;
		}
		r = inflate(&in->z, Z_NO_FLUSH);
		if (r == Z_STREAM_END) {
			in->ended = true;
		} else if (r != Z_OK) {
			in->fault = in->z.msg && strstr(in->z.msg, "check")
					    ? "gzip: invalid checksum"
					    : "flate: corrupt input before offset 0";
		}
	}
	return n - in->z.avail_out;
}

struct member {
	char name[101];
	uint64_t size;
};

static bool octal(const char *p, size_t n, uint64_t *out)
{
	size_t i = 0;

	*out = 0;
	while (i < n && p[i] == ' ') {
		i++;
	}
	for (; i < n && p[i] && p[i] != ' '; i++) {
		if (p[i] < '0' || p[i] > '7') {
			return false;
		}
		*out = *out << 3 | (uint64_t)(p[i] - '0');
	}
	return true;
}

static bool header_parse(const char block[BLOCK], struct member *out)
{
	uint64_t sum_told, sum = 8 * ' ';

	for (size_t i = 0; i < BLOCK; i++) {
		sum += i >= 148 && i < 156 ? 0 : (unsigned char)block[i];
	}
	memcpy(out->name, block, 100);
	out->name[100] = '\0';
	return octal(block + 148, 8, &sum_told) && sum == sum_told &&
	       octal(block + 124, 12, &out->size) && (block[156] == '0' || block[156] == '\0');
}

static int invalid(struct buf *why, const char *format, ...) PRINTF_LIKE(2, 3);
static int invalid(struct buf *why, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	buf_vprintf(why, format, args);
	va_end(args);
	return ST_INVALID;
}

/* 0; ST_NOT_FOUND at the end; ST_INVALID. */
static int in_header(struct in *in, struct member *out, struct buf *why)
{
	static const char zeros[BLOCK];
	char block[BLOCK];
	size_t n = in_read(in, block, sizeof(block));

	if (in->fault) {
		return invalid(why, "failed reading snapshot: %s", in->fault);
	}
	if (!n || memcmp(block, zeros, n) == 0) {
		return ST_NOT_FOUND;
	}
	if (n < sizeof(block)) {
		return invalid(why, "failed reading snapshot: unexpected EOF");
	}
	if (!header_parse(block, out)) {
		return invalid(why, "failed reading snapshot: archive/tar: invalid tar header");
	}
	return 0;
}

static int slot_put(const struct archive_slot *slot, struct str piece)
{
	if (slot->fd < 0) {
		buf_put_str(slot->bytes, piece);
		return 0;
	}
	while (piece.n) {
		ssize_t n = write(slot->fd, piece.p, piece.n);

		if (n < 0 && errno != EINTR) {
			return err_errno("write %s", slot->name);
		}
		piece = str_skip(piece, n > 0 ? (size_t)n : 0);
	}
	return 0;
}

static int in_pieces(struct in *in, const struct member *m, const struct archive_slot *slot,
	struct sha256 *d, struct buf *why)
{
	char piece[PIECE];
	uint64_t left = m->size;
	int r = 0;

	while (left && !r) {
		size_t n = min_of(left, (uint64_t)sizeof(piece));

		if (in_read(in, piece, n) < n) {
			return invalid(why, "failed to read %s: %s", slot->what,
				in->fault ? in->fault : "unexpected EOF");
		}
		sha256_add(d, str_n(piece, n));
		r = slot_put(slot, str_n(piece, n));
		left -= n;
	}
	in_read(in, piece, (BLOCK - m->size % BLOCK) % BLOCK);
	return r;
}

static int in_member(struct in *in, const struct member *m, const struct archive_slot *slot,
	uint8_t sum_out[SHA256_SIZE], struct buf *why)
{
	struct sha256 *d;
	int r;

	if (m->size > slot->size_max) {
		return invalid(why, "failed to read %s: larger than %zu bytes", slot->what,
			slot->size_max);
	}
	d = sha256_new();
	r = in_pieces(in, m, slot, d, why);
	sha256_end(d, sum_out);
	if (!r && slot->check) {
		r = slot->check(buf_str(slot->bytes), why);
	}
	return r;
}

struct reading {
	struct in in;
	const struct archive_slot *slots;
	size_t count;
	uint8_t sums[MEMBERS_MAX][SHA256_SIZE];
	bool seen[MEMBERS_MAX], list_seen;
	bool told[MEMBERS_MAX]; /* in SHA256SUMS */
	struct buf list;	/* SHA256SUMS as read */
};

static int sum_check(struct reading *r, struct str line, struct buf *why)
{
	uint8_t sum[SHA256_SIZE];
	struct str name = str_skip(line, 2 * SHA256_SIZE + 2);

	if (hex_parse(str_cut(line, 2 * SHA256_SIZE), sum, sizeof(sum))) {
		return invalid(why, "failed checking integrity of snapshot: unexpected newline");
	}
	for (size_t i = 0; i < r->count; i++) {
		if (str_is(name, r->slots[i].name)) {
			r->told[i] = true;
			return memcmp(sum, r->sums[i], sizeof(sum)) == 0
				       ? 0
				       : invalid(why,
						 "failed checking integrity of snapshot: hash "
						 "check failed for \"%s\"",
						 r->slots[i].name);
		}
	}
	return invalid(why,
		"failed checking integrity of snapshot: list missing hash for \"" STR_FMT "\"",
		STR_ARG(name));
}

static int sums_check(struct reading *r, struct buf *why)
{
	struct str rest = buf_str(&r->list);

	while (rest.n) {
		struct str line = str_split(rest, '\n', &rest);

		if (line.n && sum_check(r, line, why)) {
			return ST_INVALID;
		}
	}
	for (size_t i = 0; i < r->count; i++) {
		if (!r->told[i]) {
			return invalid(why,
				"failed checking integrity of snapshot: file missing for \"%s\"",
				r->slots[i].name);
		}
	}
	return 0;
}

/* Each comes once: their limits are the limit of all. */
static int read_member(struct reading *r, const struct member *m, struct buf *why)
{
	const struct archive_slot sums = { .name = sums_name,
		.what = "snapshot hashes",
		.fd = -1,
		.bytes = &r->list,
		.size_max = SUMS_MAX };
	uint8_t ignored[SHA256_SIZE];

	for (size_t i = 0; i < r->count; i++) {
		if (!r->seen[i] && strcmp(m->name, r->slots[i].name) == 0) {
			r->seen[i] = true;
			return in_member(&r->in, m, &r->slots[i], r->sums[i], why);
		}
	}
	if (r->list_seen || strcmp(m->name, sums_name) != 0) {
		return invalid(why, "unexpected file \"%s\" in snapshot", m->name);
	}
	r->list_seen = true;
	return in_member(&r->in, m, &sums, ignored, why);
}

static int read_members(struct reading *r, struct buf *why)
{
	struct member m;
	int status = 0;

	for (size_t i = 0; i < r->count; i++) {
		sha256_end(sha256_new(), r->sums[i]); /* of one that does not come */
	}
	while (!status) {
		status = in_header(&r->in, &m, why);
		if (!status) {
			status = read_member(r, &m, why);
		}
	}
	return status == ST_NOT_FOUND ? sums_check(r, why) : status;
}

/* What follows the tar must be the end of the one gzip stream. */
static int read_end(struct reading *r, struct buf *why)
{
	char piece[BLOCK];

	while (in_read(&r->in, piece, sizeof(piece))) {
	}
	if (!r->in.fault && (r->in.z.avail_in || in_more(&r->in))) {
		r->in.fault = "gzip: invalid header";
	}
	return r->in.fault ? invalid(why, "%s", r->in.fault) : 0;
}

int archive_read(int fd, const struct archive_slot *slots, size_t count, struct buf *why)
{
	OWN(free) struct reading *r = xcalloc(1, sizeof(*r));
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	int status = 0;

	must(count <= MEMBERS_MAX);
	r->in.fd = fd;
	r->slots = slots;
	r->count = count;
	in_open(&r->in);
	if (r->in.fault) {
		status = invalid(why, "failed to decompress snapshot: %s", r->in.fault);
	} else {
		status = read_members(r, &text);
		if (status > 0) {
			buf_put_lit(why, "failed to read snapshot file: ");
			buf_put_str(why, buf_str(&text));
		} else if (!status) {
			status = read_end(r, why);
		}
	}
	inflateEnd(&r->in.z);
	buf_fini(&r->list);
	return r->in.error ? r->in.error : status;
}
