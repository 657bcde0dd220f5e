CREATE FUNCTION archive_search_keep() RETURNS trigger AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        DELETE FROM archive_search
            WHERE state = old.state AND at = old.at AND uid = old.uid AND run_id = old.run_id;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO archive_search
            (state, at, uid, run_id, began, final, namespace, type, kb_id, priority, queue, reason, replayed_by)
        VALUES (new.state, new.at, new.uid, new.run_id, new.began, new.final, new.namespace, new.type, new.kb_id,
            new.priority, new.queue, new.reason, new.replayed_by)
        ON CONFLICT (state, at, uid, run_id) DO NOTHING;
    END IF;
    RETURN NULL;
END
$$ LANGUAGE plpgsql;

CREATE TRIGGER archive_search_keep AFTER INSERT OR UPDATE OR DELETE ON archive_records
    FOR EACH ROW EXECUTE FUNCTION archive_search_keep();
