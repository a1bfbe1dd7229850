"""Results as a Markdown table, as JSON and as a picture."""
import json


def table(results, columns):
    """Lines of a Markdown table; the last column is Cloister's time over runc's."""
    with_ratio = "cloister" in columns and "runc" in columns
    rows = [[f"operation ({results.unit})", *columns, *(["cloister/runc"] if with_ratio else [])]]
    for name in results.values:
        medians = [results.median(name, column) for column in columns]
        row = [name] + ["-" if value is None else f"{value:,.0f}" for value in medians]
        if with_ratio:
            ratio = results.ratio(name, "cloister", "runc")
            row.append("-" if ratio is None else f"{ratio:.2f}")
        rows.append(row)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]

    def line(row):
        return "| " + " | ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:]))]) + " |"

    rule = "| " + " | ".join(["-" * widths[0], *("-" * (w - 1) + ":" for w in widths[1:])]) + " |"
    return [line(rows[0]), rule, *map(line, rows[1:])]


def means(results, columns):
    """A sentence for each runtime: how long it takes against runc over all rows."""
    others = [column for column in columns if column not in ("native", "runc")] if "runc" in columns else []
    pairs = [(column, results.mean_ratio(column, "runc")) for column in others]
    return [f"{column}: {mean:.2f} times runc's time (geometric mean)" for column, mean in pairs if mean]


def write_json(path, host, parts):
    """parts: title → Results. Every single value, so that another reader can take other means."""
    content = {"host": host, "measurements": [
        {"title": title, "unit": results.unit, "rows": results.values, "failed": results.failed} for title, results in parts.items()]}
    with open(path, "w", encoding="utf-8") as out:
        json.dump(content, out, indent=1)
        out.write("\n")


def draw(path, parts, columns):
    """Bars on a logarithmic scale: each column's time over runc's."""
    import matplotlib  # pylint: disable=import-outside-toplevel
    matplotlib.use("Agg")
    from matplotlib import pyplot  # pylint: disable=import-outside-toplevel
    others = [column for column in columns if column != "runc"]
    shown = [(title, results) for title, results in parts.items() if results.values]
    heights = [len(results.values) for _, results in shown]
    figure, axes = pyplot.subplots(len(shown), 1, figsize=(8, 1.5 + 0.3 * sum(heights)), squeeze=False,
                                   gridspec_kw={"height_ratios": heights}, layout="constrained")
    colours = {"native": "#9aa5b1", "cloister": "#1f6feb", "gvisor": "#d4a72c"}
    for (title, results), axis in zip(shown, axes[:, 0]):
        rows = list(results.values)
        for place, column in enumerate(others):
            ratios = [results.ratio(row, column, "runc") or 1 for row in rows]
            at = [index + (place + 0.5) * 0.8 / len(others) - 0.4 for index in range(len(rows))]
            axis.barh(at, [ratio - 1 for ratio in ratios], 0.8 / len(others), left=1, label=column, color=colours.get(column))
        axis.set_xscale("log")
        axis.axvline(1, color="black", linewidth=0.8)
        axis.set_yticks(range(len(rows)), rows, fontsize=8)
        axis.invert_yaxis()
        axis.set_title(f"{title}: time over runc's (left of the line is faster)", fontsize=9)
    axes[0, 0].legend(fontsize=8)
    figure.savefig(path)
