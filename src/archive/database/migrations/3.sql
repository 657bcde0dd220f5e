-- How often the run was launched. Worked out from what is stored anyway, so that the version before, which does not
-- know the column, may go on writing.
ALTER TABLE archive_records ADD COLUMN attempt BIGINT GENERATED ALWAYS AS {attempt};
