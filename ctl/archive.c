/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading and checking a snapshot file: gzip, then tar (ustar headers of 512 bytes), then the sums.
 */
#include "ctl/archive.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>
#include <zlib.h>

#include "common/base/err.h"
#include "common/sys/digest.h"

enum {
	BLOCK = 512,
	SMALL_MAX = 1 << 20,
	NAME_AT = 0,
	NAME_SIZE = 100,
	SIZE_AT = 124,
	SIZE_SIZE = 12
};

struct sums {
	uint8_t meta[SHA256_SIZE], state[SHA256_SIZE];
	bool meta_seen, state_seen;
	struct buf listed; /* SHA256SUMS: "<hex>  <name>" lines */
};

void archive_fini(struct archive *a)
{
	buf_fini(&a->meta);
}

static int refuse(struct buf *why, const char *text)
{
	buf_put_cstr(why, text);
	return ST_INVALID;
}

static bool read_whole(gzFile f, void *out, unsigned n)
{
	return gzread(f, out, n) == (int)n;
}

/* One member's bytes: summed, and collected where `collected` is given. */
static bool member_read(gzFile f, uint64_t size, uint8_t sum[SHA256_SIZE], struct buf *collected)
{
	struct sha256 *s = sha256_new();
	char block[BLOCK];
	bool good = true;

	for (uint64_t left = size; left && good; left -= min_of(left, (uint64_t)BLOCK)) {
		struct str bytes = str_n(block, (size_t)min_of(left, (uint64_t)BLOCK));

		good = read_whole(f, block, BLOCK);
		if (good) {
			sha256_add(s, bytes);
		}
		if (good && collected) {
			buf_put_str(collected, bytes);
		}
	}
	sha256_end(s, sum);
	return good;
}

static bool sum_listed(const struct sums *sums, const uint8_t sum[SHA256_SIZE], const char *name)
{
	OWN_EMBEDDED(buf_fini) struct buf line = { 0 };

	hex_render(&line, sum, SHA256_SIZE);
	buf_printf(&line, "  %s\n", name);
	return str_find_str(buf_str(&sums->listed), buf_str(&line)) >= 0;
}

static int sums_check(const struct sums *sums, struct buf *why)
{
	if (!sums->meta_seen || !sums->state_seen || sums->listed.n == 0) {
		return refuse(why, "failed to read snapshot file: unexpected EOF");
	}
	if (!sum_listed(sums, sums->meta, "meta.json")) {
		return refuse(why, "failed checking integrity of snapshot: hash check failed for "
				   "\"meta.json\"");
	}
	if (!sum_listed(sums, sums->state, "state.bin")) {
		return refuse(why, "failed checking integrity of snapshot: hash check failed for "
				   "\"state.bin\"");
	}
	return 0;
}

static int members_read(gzFile f, struct archive *out, struct sums *sums, struct buf *why)
{
	char header[BLOCK + 1] = "";

	while (read_whole(f, header, BLOCK) && header[0]) {
		char name[NAME_SIZE + 1], size_text[SIZE_SIZE + 1];
		uint8_t ignored[SHA256_SIZE];
		uint64_t size;
		bool good;

		memcpy(name, header + NAME_AT, NAME_SIZE);
		name[NAME_SIZE] = 0;
		memcpy(size_text, header + SIZE_AT, SIZE_SIZE);
		size_text[SIZE_SIZE] = 0;
		size = strtoull(size_text, NULL, 8);
		if (strcmp(name, "state.bin") == 0 && !sums->state_seen) {
			good = member_read(f, size, sums->state, NULL);
			sums->state_seen = true;
			out->size = size;
		} else if (size > SMALL_MAX) {
			good = false;
		} else if (strcmp(name, "meta.json") == 0 && !sums->meta_seen) {
			good = member_read(f, size, sums->meta, &out->meta);
			sums->meta_seen = true;
		} else if (strcmp(name, "SHA256SUMS") == 0 && !sums->listed.n) {
			good = member_read(f, size, ignored, &sums->listed);
		} else {
			buf_printf(why,
				"failed to read snapshot file: unexpected file \"%s\" in snapshot",
				name);
			return ST_INVALID;
		}
		if (!good) {
			return refuse(why, "failed to read snapshot file: unexpected EOF");
		}
	}
	return sums_check(sums, why);
}

int archive_read(const char *path, struct archive *out, struct buf *why)
{
	struct sums sums = { .meta_seen = false };
	gzFile f = gzopen(path, "rbe");
	int r;

	if (!f) {
		buf_printf(why, "open %s: %s", path,
			errno == ENOENT ? "no such file or directory" : strerror(errno));
		return ST_INVALID;
	}
	if (gzdirect(f)) { /* zlib would hand out a plain file as it is */
		r = refuse(why, "failed to decompress snapshot: gzip: invalid header");
	} else {
		r = members_read(f, out, &sums, why);
	}
	gzclose(f);
	buf_fini(&sums.listed);
	return r;
}
