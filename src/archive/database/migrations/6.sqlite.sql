CREATE TRIGGER archive_search_put AFTER INSERT ON archive_records BEGIN
    INSERT OR REPLACE INTO archive_search
        (state, at, uid, run_id, began, final, namespace, type, kb_id, priority, queue, reason, replayed_by)
    VALUES (new.state, new.at, new.uid, new.run_id, new.began, new.final, new.namespace, new.type, new.kb_id,
        new.priority, new.queue, new.reason, new.replayed_by);
END;

CREATE TRIGGER archive_search_change AFTER UPDATE ON archive_records BEGIN
    DELETE FROM archive_search
        WHERE state = old.state AND at = old.at AND uid = old.uid AND run_id = old.run_id;
    INSERT OR REPLACE INTO archive_search
        (state, at, uid, run_id, began, final, namespace, type, kb_id, priority, queue, reason, replayed_by)
    VALUES (new.state, new.at, new.uid, new.run_id, new.began, new.final, new.namespace, new.type, new.kb_id,
        new.priority, new.queue, new.reason, new.replayed_by);
END;

CREATE TRIGGER archive_search_forget AFTER DELETE ON archive_records BEGIN
    DELETE FROM archive_search
        WHERE state = old.state AND at = old.at AND uid = old.uid AND run_id = old.run_id;
END;
