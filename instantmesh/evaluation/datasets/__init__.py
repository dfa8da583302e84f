"""Data sets as they are downloaded: their objects, lists of objects, draws by seed."""
