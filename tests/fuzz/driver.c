/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target without a fuzzer: replays every file of a corpus folder, then seeded mutations
 * of each, so that every test run walks the same inputs. An input that breaks the target is left in
 * the file named by MUSTER_FUZZ_LAST when that is set.
 *
 *     fuzz_x CORPUS_DIR [MUTATIONS_PER_FILE [SEED]]
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>

#include "common/base/buf.h"
#include "common/base/rng.h"
#include "tests/fuzz/fuzz.h"

enum {
	MUTATIONS_DEFAULT = 3000,
	MUTATIONS_TOTAL = 60000,
	INPUTS_MAX = 4096,
	INPUT_SIZE_MAX = 1 << 20
};

struct corpus {
	struct buf inputs[INPUTS_MAX];
	size_t count;
};

static int name_compare(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static void input_read(const char *path, struct buf *out)
{
	FILE *f = fopen(path, "rb");
	size_t n;

	if (!f) {
		fprintf(stderr, "cannot read %s\n", path);
		exit(1);
	}
	do {
		n = fread(buf_reserve(out, 4096), 1, 4096, f);
		out->n += n;
	} while (n && out->n < INPUT_SIZE_MAX);
	fclose(f);
}

static void corpus_load(struct corpus *c, const char *folder)
{
	struct dirent **entries;
	int n = scandir(folder, &entries, NULL, name_compare);

	if (n < 0) {
		fprintf(stderr, "no corpus in %s: add a few inputs\n", folder);
		exit(1);
	}
	for (int i = 0; i < n; i++) {
		OWN_EMBEDDED(buf_fini) struct buf path = { 0 };

		if (entries[i]->d_name[0] != '.' && c->count < INPUTS_MAX) {
			buf_printf(&path, "%s/%s", folder, entries[i]->d_name);
			input_read(buf_cstr(&path), &c->inputs[c->count++]);
		}
		free(entries[i]);
	}
	free(entries);
}

/* The input lives in a block of exactly its size, so that a sanitizer sees every byte read too far.
 */
static void target_run(const struct buf *input)
{
	const char *keep = getenv("MUSTER_FUZZ_LAST");
	uint8_t *exact = xmalloc(input->n ? input->n : 1);

	if (input->n) {
		memcpy(exact, input->p, input->n);
	}
	if (keep) {
		FILE *f = fopen(keep, "wb");

		if (f) {
			fwrite(exact, 1, input->n, f);
			fclose(f);
		}
	}
	LLVMFuzzerTestOneInput(exact, input->n);
	free(exact);
}

static void bytes_remove(struct buf *b, size_t at, size_t n)
{
	memmove(b->p + at, b->p + at + n, b->n - at - n);
	b->n -= n;
}

static void bytes_insert(struct buf *b, size_t at, const void *p, size_t n)
{
	if (n == 0) {
		return;
	}
	buf_reserve(b, n);
	memmove(b->p + at + n, b->p + at, b->n - at);
	memcpy(b->p + at, p, n);
	b->n += n;
}

static void mutate_once(struct rng *rng, struct buf *b, const struct buf *other)
{
	static const uint8_t interesting[] = { 0, 1, 0x7f, 0x80, 0xff, '"', '{', '[', '\\', '\n',
		' ', '0', '-' };
	size_t at = rng_below(rng, b->n + 1);
	size_t span = rng_below(rng, 16) + 1;

	span = min_of(span, b->n - at);
	switch (rng_below(rng, 7)) {
	case 0:
		b->n = at; /* cut */
		break;
	case 1:
		bytes_remove(b, at, span);
		break;
	case 2:
		if (at < b->n) {
			b->p[at] = (char)interesting[rng_below(rng, sizeof(interesting))];
		}
		break;
	case 3:
		if (at < b->n) {
			b->p[at] ^= (char)(1 << rng_below(rng, 8));
		}
		break;
	case 4: {
		uint8_t c = (uint8_t)rng_u64(rng);

		bytes_insert(b, at, &c, 1);
		break;
	}
	case 5: { /* repeat a span */
		char copy[16];

		memcpy(copy, b->p + at, span);
		bytes_insert(b, at, copy, span);
		break;
	}
	default: { /* a piece of another input */
		size_t from = rng_below(rng, other->n + 1);
		size_t n = rng_below(rng, 64) + 1;

		n = min_of(n, other->n - from);
		bytes_insert(b, at, other->p + from, n);
	}
	}
}

static void mutations_run(const struct corpus *c, size_t which, size_t count, struct rng *rng)
{
	for (size_t i = 0; i < count; i++) {
		OWN_EMBEDDED(buf_fini) struct buf b = { 0 };
		size_t steps = rng_below(rng, 4) + 1;

		buf_reserve(&b, c->inputs[which].n + 1);
		buf_put(&b, c->inputs[which].p, c->inputs[which].n);
		while (steps--) {
			mutate_once(rng, &b, &c->inputs[rng_below(rng, c->count)]);
		}
		target_run(&b);
	}
}

int main(int argc, char **argv)
{
	static struct corpus corpus;
	uint64_t per_file = argc > 2 ? strtoull(argv[2], NULL, 10) : MUTATIONS_DEFAULT;
	struct rng rng;

	if (argc < 2) {
		fprintf(stderr, "usage: %s CORPUS_DIR [MUTATIONS_PER_FILE [SEED]]\n", argv[0]);
		return 2;
	}
	corpus_load(&corpus, argv[1]);
	if (corpus.count == 0) {
		fprintf(stderr, "no inputs in %s\n", argv[1]);
		return 1;
	}
	if (argc <= 2) {
		per_file = min_of(per_file, MUTATIONS_TOTAL / corpus.count);
	}
	rng_init(&rng, argc > 3 ? strtoull(argv[3], NULL, 10) : 1);
	for (size_t i = 0; i < corpus.count; i++) {
		target_run(&corpus.inputs[i]);
		mutations_run(&corpus, i, per_file, &rng);
	}
	printf("%zu inputs, %llu mutations of each\n", corpus.count, (unsigned long long)per_file);
	for (size_t i = 0; i < corpus.count; i++) {
		buf_fini(&corpus.inputs[i]);
	}
	return 0;
}
