/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small struct that one process publishes and others read as shared memory, without a call
 * (sequence lock). The contents are those of common/msg/page.h. What was published before the
 * machine's last start is as good as nothing: instants and states in it are of another life.
 */
#ifndef MUSTER_COMMON_SYS_PAGE_H
#define MUSTER_COMMON_SYS_PAGE_H

#include "common/base/std.h"

struct page_writer;
/* Creates the file (0640, shared under its own path: share.h) or takes over what is there.
 * -errno. */
int page_writer_open(const char *path, size_t size, struct page_writer **out);
void page_writer_free(struct page_writer *w); /* the file stays, with its last content */
DEFINE_OWN(struct page_writer, page_writer_free)
void page_publish(struct page_writer *w, const void *content);

struct page_reader;
struct page_reader *page_reader_new(const char *path, size_t size); /* the file may come later */
void page_reader_free(struct page_reader *r);
DEFINE_OWN(struct page_reader, page_reader_free)
/* Copies the newest content; false (and zeros) while there is none. Reads one cache line pair;
 * cheap enough for each request. */
bool page_read(struct page_reader *r, void *out);

#endif
