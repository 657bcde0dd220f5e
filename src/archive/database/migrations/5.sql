-- The columns by which records are filtered, apart from the long ones and in the order in which records are listed, so
-- that a filter reads little. Triggers keep it in step, whichever version of the operator writes. What was there before is
-- added in batches; archive_progress says how far that is.
CREATE TABLE archive_search (
    state       {text} NOT NULL,
    at          BIGINT NOT NULL,
    uid         {text} NOT NULL,
    run_id      {text} NOT NULL,
    began       BIGINT NOT NULL,
    final       BIGINT NOT NULL,
    namespace   {text} NOT NULL,
    type        {text} NOT NULL,
    kb_id       {text},
    priority    {text} NOT NULL,
    queue       {text} NOT NULL,
    reason      {text} NOT NULL,
    replayed_by {text},
    PRIMARY KEY (state, at, uid, run_id)
){clustered};

CREATE INDEX archive_search_by_run ON archive_search (uid, began, run_id);
CREATE INDEX archive_search_by_time ON archive_search (at, uid, run_id);
CREATE INDEX archive_search_by_kb_id ON archive_search (kb_id, at, uid, run_id) WHERE kb_id IS NOT NULL;

CREATE TABLE archive_progress (
    name   {text} PRIMARY KEY,
    at     BIGINT NOT NULL,
    uid    {text} NOT NULL,
    run_id {text} NOT NULL,
    done   BIGINT NOT NULL
);

INSERT INTO archive_progress (name, at, uid, run_id, done) VALUES ('archive_search', -9223372036854775808, '', '', 0);
