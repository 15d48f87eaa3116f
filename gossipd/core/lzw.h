/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LZW in GIF's style, least significant bit first, 8-bit literals: the compression of Serf's
 * packets and streams. What the encoder writes is equal, bit by bit, to what Go's library writes.
 */
#ifndef MUSTER_GOSSIPD_CORE_LZW_H
#define MUSTER_GOSSIPD_CORE_LZW_H

#include "common/base/buf.h"

void lzw_encode(struct buf *out, struct str plain);
/* Appends at most size_max bytes. 0; ST_INVALID, ST_TRUNCATED (no end code), ST_TOO_LARGE. */
int lzw_decode(struct buf *out, struct str packed, size_t size_max);

#endif
