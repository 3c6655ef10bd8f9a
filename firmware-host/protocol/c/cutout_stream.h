/* Packets and lines out of whatever bytes come, answers out of their packets, and how long to wait. Included by cutout_wire.h. */
#ifndef CUTOUT_STREAM_H
#define CUTOUT_STREAM_H

/* --- Accumulator ---------------------------------------------------------------------------------------------------- */

enum cutout_feed_found {
    CUTOUT_FEED_MORE,    /* nothing whole yet; all bytes are taken */
    CUTOUT_FEED_PACKET,  /* buffer[0..found] is for cutout_open */
    CUTOUT_FEED_LINE,    /* buffer[0..found] is a line of text mode, without its end */
    CUTOUT_FEED_GARBAGE  /* neither, or too long; forgotten */
};

/* Behind a 00, or a line's end; one byte of what may be a packet; packet; line; neither, up to 00 or a line's end; a packet
 * that is too long, up to 00. */
enum cutout_state {
    CUTOUT_AT_START, CUTOUT_AT_FIRST, CUTOUT_IN_PACKET, CUTOUT_IN_LINE, CUTOUT_IN_JUNK, CUTOUT_IN_TOO_LONG
};

/* All but buffer and room is 0 at first. A room of CUTOUT_WIRE_SIZE of the max_payload that Hello says is enough. */
struct cutout_accumulator { uint8_t *buffer; size_t room, length, found; enum cutout_state state; };

static inline bool cutout_is_text(uint8_t byte) { return (byte >= 0x20 && byte < 0x7f) || byte == '\t'; }
static inline bool cutout_is_end(uint8_t byte) { return byte == '\n' || byte == '\r'; }
static inline bool cutout_is_backspace(uint8_t byte) { return byte == 0x08 || byte == 0x7f; }
static inline bool cutout_is_version(uint8_t byte) { return byte > 0 && byte < 32 && !cutout_is_text(byte) && !cutout_is_end(byte); }

/* Undoes COBS in place; false if it is none. */
static inline bool cutout_uncobs(uint8_t *bytes, size_t *count) {
    size_t at = 0, to = 0;
    while (at < *count) {
        size_t code = bytes[at];
        if (code == 0 || code > *count - at) return false;
        memmove(bytes + to, bytes + at + 1, code - 1);
        to += code - 1, at += code;
        if (code < 255 && at < *count) bytes[to++] = 0;
    }
    *count = to;
    return true;
}

static inline void cutout_keep(struct cutout_accumulator *a, uint8_t byte, enum cutout_state next) {
    if (a->length < a->room) a->buffer[a->length++] = byte, a->state = next;
    else a->state = next == CUTOUT_IN_PACKET ? CUTOUT_IN_TOO_LONG : CUTOUT_IN_JUNK;
}

static inline enum cutout_feed_found cutout_byte(struct cutout_accumulator *a, uint8_t byte) {
    if (byte == 0) {
        if (a->state == CUTOUT_IN_PACKET) return CUTOUT_FEED_PACKET;
        return a->state == CUTOUT_AT_START ? CUTOUT_FEED_MORE : CUTOUT_FEED_GARBAGE;
    }
    switch (a->state) {
        case CUTOUT_AT_START:
            if (cutout_is_text(byte)) cutout_keep(a, byte, CUTOUT_IN_LINE);
            else if (byte == 3 || byte == 4) cutout_keep(a, byte, CUTOUT_AT_FIRST);
            else if (!cutout_is_end(byte) && !cutout_is_backspace(byte)) a->state = CUTOUT_IN_JUNK;
            return CUTOUT_FEED_MORE;
        case CUTOUT_AT_FIRST:
            if (cutout_is_version(byte)) cutout_keep(a, byte, CUTOUT_IN_PACKET);
            else if (cutout_is_end(byte)) return CUTOUT_FEED_GARBAGE;
            else a->state = CUTOUT_IN_JUNK;
            return CUTOUT_FEED_MORE;
        case CUTOUT_IN_PACKET:
            cutout_keep(a, byte, CUTOUT_IN_PACKET);
            return CUTOUT_FEED_MORE;
        case CUTOUT_IN_LINE:
            if (cutout_is_end(byte)) return CUTOUT_FEED_LINE;
            if (cutout_is_backspace(byte)) {
                if (--a->length == 0) a->state = CUTOUT_AT_START;
            } else if (cutout_is_text(byte) && a->length < CUTOUT_MAX_LINE) {
                cutout_keep(a, byte, CUTOUT_IN_LINE);
            } else {
                a->state = CUTOUT_IN_JUNK;
            }
            return CUTOUT_FEED_MORE;
        case CUTOUT_IN_JUNK:
            return cutout_is_end(byte) ? CUTOUT_FEED_GARBAGE : CUTOUT_FEED_MORE;
        case CUTOUT_IN_TOO_LONG:
        default:
            return CUTOUT_FEED_MORE;
    }
}

/* Takes bytes up to the end of the next packet, line or piece of garbage, and moves `bytes` and `count` on. */
static inline enum cutout_feed_found cutout_feed(struct cutout_accumulator *a, const uint8_t **bytes, size_t *count) {
    while (*count > 0) {
        enum cutout_feed_found found = cutout_byte(a, **bytes);
        (*bytes)++, (*count)--;
        if (found == CUTOUT_FEED_MORE) continue;
        a->found = a->length;
        a->length = 0;
        a->state = CUTOUT_AT_START;
        if (found == CUTOUT_FEED_PACKET && !cutout_uncobs(a->buffer, &a->found)) return CUTOUT_FEED_GARBAGE;
        return found;
    }
    return CUTOUT_FEED_MORE;
}

/* --- An answer's body out of its packets ---------------------------------------------------------------------------- */

enum cutout_progress {
    CUTOUT_HEADLESS,  /* the Result did not come */
    CUTOUT_MISSING,   /* `received` is the offset of the first byte that lacks: Fetch from there */
    CUTOUT_COMPLETE,  /* buffer[0..total] is the body */
    CUTOUT_CORRUPT,   /* the checksum is wrong; all is forgotten: Fetch from 0 */
    CUTOUT_TOO_LARGE  /* the body has `total` bytes, the buffer has not */
};

/* Keeps what came without a gap: pieces behind a gap are fetched again. All but buffer and room is 0 at first. */
struct cutout_assembly { uint8_t *buffer; size_t room, received; uint32_t total, crc, sequence; bool head; };

static inline enum cutout_progress cutout_piece(struct cutout_assembly *a, uint32_t offset, const struct cutout_rest *data) {
    if (!a->head) return CUTOUT_HEADLESS;
    bool inside = data->length <= a->total && offset <= a->total - data->length;
    if (inside && offset <= a->received && offset + data->length > a->received) {
        memcpy(a->buffer + offset, data->data, data->length);
        a->received = offset + data->length;
    }
    if (a->received < a->total) return CUTOUT_MISSING;
    if (cutout_crc32(0, a->buffer, a->total) == a->crc) return CUTOUT_COMPLETE;
    a->received = 0;
    return CUTOUT_CORRUPT;
}

/* The next Result of a track begins another answer by itself; before another request set `head` to false. */
static inline enum cutout_progress cutout_take_result(struct cutout_assembly *a, const struct cutout_result *result) {
    bool same = a->head && a->total == result->total && a->crc == result->crc && a->sequence == result->sequence;
    if (!same) a->received = 0;
    a->total = result->total, a->crc = result->crc, a->sequence = result->sequence;
    a->head = result->total <= a->room;
    return a->head ? cutout_piece(a, 0, &result->data) : CUTOUT_TOO_LARGE;
}

static inline enum cutout_progress cutout_take_chunk(struct cutout_assembly *a, const struct cutout_chunk *chunk) {
    return cutout_piece(a, chunk->offset, &chunk->data);
}

/* --- Time-outs ------------------------------------------------------------------------------------------------------ */

/* Microseconds of bytes on a line; 0 for baud 0, a socket. */
static inline uint64_t cutout_transfer_us(uint32_t bytes, uint32_t baud) {
    return baud == 0 ? 0 : ((uint64_t)bytes * 10000000u + baud - 1) / baud;
}

/* Milliseconds from a request's first byte on after which its answer has to be there. Bytes are on the wire. */
static inline uint32_t cutout_answer_timeout_ms(uint32_t request, uint32_t answer, uint32_t baud, uint32_t work_ms) {
    uint64_t line_us = cutout_transfer_us(request, baud) + cutout_transfer_us(answer, baud);
    uint64_t all = (line_us + line_us / 4 + 999) / 1000 + work_ms + 100;
    return all > UINT32_MAX ? UINT32_MAX : (uint32_t)all;
}

#endif
