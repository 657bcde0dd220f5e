-- Times are microseconds since 1970. What is looked for and sorted by stands in columns, everything that is
-- read back stands in the JSON texts. The long columns come last, so that a scan need not read them.
CREATE TABLE archive_records (
    uid         {text} NOT NULL,
    run_id      {text} NOT NULL,
    namespace   {text} NOT NULL,
    name        {text} NOT NULL,
    type        {text} NOT NULL,
    kb_id       {text},
    priority    {text} NOT NULL,
    queue       {text} NOT NULL,
    state       {text} NOT NULL,
    reason      {text} NOT NULL,
    at          BIGINT NOT NULL,
    final       BIGINT NOT NULL,
    began       BIGINT NOT NULL,
    genuine     BIGINT NOT NULL,
    archived    BIGINT NOT NULL,
    replayed_by {text},
    summary     {text} NOT NULL,
    details     {text} NOT NULL,
    PRIMARY KEY (uid, run_id)
);

CREATE INDEX archive_records_by_time ON archive_records (at, uid, run_id);
CREATE INDEX archive_records_by_state ON archive_records (state, at, uid, run_id);
CREATE INDEX archive_records_by_kb_id ON archive_records (kb_id, at, uid, run_id) WHERE kb_id IS NOT NULL;
CREATE INDEX archive_records_by_name ON archive_records (name, namespace, run_id);

CREATE TABLE archive_results (
    uid          {text} NOT NULL,
    run_id       {text} NOT NULL,
    attempt      BIGINT NOT NULL,
    stored       BIGINT NOT NULL,
    content_type {text} NOT NULL,
    content      {bytes} NOT NULL,
    PRIMARY KEY (uid, run_id)
);

CREATE INDEX archive_results_by_time ON archive_results (stored);
