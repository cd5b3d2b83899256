/*
 * Text of strangers (host names, uris, whatever stands in a file) made fit for a terminal, JSON and labels.
 */
#ifndef EYESORE_JOB_STATUS_TEXT_H
#define EYESORE_JOB_STATUS_TEXT_H

/*
 * In place: '?' for each byte that is no UTF-8 or belongs to a control character (of ASCII, or C1, or one
 * that turns the direction of writing). What is left is valid UTF-8 of one line; quotes and backslashes are
 * for the writer of a format to escape.
 */
void text_make_printable(char *text);

#endif
