//! Rope, paged attention, attention maps and attention of tiles against dense formulas in f64.

mod common;

use common::*;
use monolens_graph::backend::Job;
use monolens_graph::batch::{self, Batch, Chunk, NO_VISUAL, PAGE_SIZE, RowInfo};
use monolens_graph::ops::{self, Heads, QkvLayout};
use monolens_graph::plan::Fusions;
use monolens_graph::{Axes, Axis, Backend, DType, Graph, GraphBuilder};
use rand::seq::SliceRandom;

const PAGES: usize = 60;

/// Rope, attention and the map in one graph; keys and values live in states of `dtype`.
fn graph(heads: Heads, layout: QkvLayout, dtype: DType) -> Graph {
    let mut g = GraphBuilder::new("attention");
    let rows = Axis::Rows.into();
    let qkv = g.input("qkv", DType::F32, [rows, heads.qkv_width().into()]);
    let infos = g.input(batch::ROWS, DType::U32, [rows, 4.into()]);
    let rope = g.input(batch::ROPE, DType::F32, [rows, heads.size.into()]);
    let table =
        g.input(batch::PAGE_TABLE, DType::U32, [Axis::Sequences.into(), Axis::PagesPerSequence.into()]);
    let blocks = g.input(batch::QUERY_BLOCKS, DType::U32, [Axis::QueryBlocks.into(), 2.into()]);
    let pool = [Axis::KvSlots.into(), heads.cache_width(dtype).into()];
    let (k, v) = (g.state("k", dtype, pool), g.state("v", dtype, pool));
    let scale = 0.7 / (heads.size as f32).sqrt();
    let q = g.push("q", ops::Rope { heads, layout }, &[qkv, infos, rope, k, v]).unwrap();
    let y = g.push("y", ops::Attention { heads, scale }, &[q, infos, table, blocks, k, v]).unwrap();
    let map = g.push("map", ops::AttentionMap { heads, scale }, &[q, infos, table, k]).unwrap();
    for (name, id) in [("q", q), ("y", y), ("map", map)] {
        g.output(name, id).unwrap();
    }
    g.finish()
}

/// What one sequence gives, without pages: queries, results and map rows.
struct Dense {
    q: Vec<f64>,
    y: Vec<f64>,
    map: Vec<Vec<f64>>,
}

fn dense(heads: Heads, layout: QkvLayout, dtype: DType, qkv: &[f32], rope: &[f32]) -> Dense {
    let (d, width) = (heads.size, heads.qkv_width());
    let n = qkv.len() / width;
    let turn = |row: usize, column: usize| -> Vec<f64> {
        let x = wide(&qkv[row * width + column..][..d]);
        let angle = wide(&rope[row * d..][..d]);
        let half = d / 2;
        let low = (0..half).map(|e| x[e] * angle[e] - x[e + half] * angle[e + half]);
        let high = (0..half).map(|e| x[e + half] * angle[e] + x[e] * angle[e + half]);
        low.chain(high).collect()
    };
    let kept = |x: Vec<f64>| wide(&stored(dtype, &x.iter().map(|&v| v as f32).collect::<Vec<_>>()));
    let scale = 0.7 / (d as f64).sqrt();
    let mut out = Dense { q: Vec::new(), y: Vec::new(), map: Vec::new() };
    for row in 0..n {
        let mut mean = vec![0.0; n];
        for head in 0..heads.query {
            let q = turn(row, layout.query(&heads, head));
            let kv = head / heads.group();
            let mut p: Vec<f64> = (0..=row)
                .map(|t| {
                    let k = kept(turn(t, layout.key(&heads, kv)));
                    scale * q.iter().zip(&k).map(|(a, b)| a * b).sum::<f64>()
                })
                .collect();
            softmax(&mut p);
            let mut y = vec![0.0; d];
            for (t, p) in p.iter().enumerate() {
                let v = kept(wide(&qkv[t * width + layout.value(&heads, kv)..][..d]));
                y.iter_mut().zip(&v).for_each(|(y, v)| *y += p * v);
                mean[t] += p / heads.query as f64;
            }
            out.q.extend(q);
            out.y.extend(y);
        }
        out.map.push(mean);
    }
    out
}

fn angles(d: usize, rows: usize) -> Vec<f32> {
    let angle = |row: usize, e: usize| row as f32 / 100_f32.powf(2.0 * e as f32 / d as f32);
    (0..rows)
        .flat_map(|row| {
            let cos = (0..d / 2).map(move |e| angle(row, e).cos());
            cos.chain((0..d / 2).map(move |e| angle(row, e).sin()))
        })
        .collect()
}

#[test]
fn paged_attention_equals_dense_attention() {
    let all = [(1, 1, 2), (2, 1, 6), (4, 2, 10), (6, 2, 34), (16, 8, 16), (3, 3, 64)];
    for (i, (query, kv, size)) in all.into_iter().enumerate() {
        let heads = Heads { query, kv, size };
        for dtype in [DType::F32, DType::BF16, DType::I8] {
            for lengths in [vec![1], vec![2, 1, 0, 1], vec![16], vec![17, 33], vec![1, 150, 1], vec![300]] {
                let layout = if i % 2 == 0 { QkvLayout::Grouped } else { QkvLayout::Concatenated };
                check(heads, layout, dtype, &lengths);
            }
        }
    }
}

fn check(heads: Heads, layout: QkvLayout, dtype: DType, lengths: &[usize]) {
    let graph = graph(heads, layout, dtype);
    let slots = PAGES * PAGE_SIZE;
    let mut backend = exact();
    allocate(&mut backend, &graph, &Axes::new().with(Axis::KvSlots, slots));
    let mut pages: Vec<u32> = (0..PAGES as u32).collect();
    pages.shuffle(&mut rng(3));
    let mut pages = pages.into_iter();
    let lengths: Vec<usize> = lengths.iter().copied().filter(|&n| n > 0).collect();
    let (ids, none) = (vec![0; 400], vec![NO_VISUAL; 400]);
    let tables: Vec<Vec<u32>> =
        lengths.iter().map(|n| pages.by_ref().take(n.div_ceil(PAGE_SIZE)).collect()).collect();
    let qkvs: Vec<Vec<f32>> =
        lengths.iter().map(|&n| floats(&mut rng(n as u64), n * heads.qkv_width())).collect();
    let ropes: Vec<Vec<f32>> = lengths.iter().map(|&n| angles(heads.size, n)).collect();
    // Two runs: a first part of each sequence, then the rest, so that keys of both runs are seen.
    let mut got = vec![(Vec::new(), Vec::new(), Vec::<Vec<f32>>::new()); lengths.len()];
    let cut = |n: usize| n * 2 / 3;
    for part in 0..2 {
        let spans: Vec<(usize, usize, usize)> = lengths
            .iter()
            .enumerate()
            .map(|(s, &n)| if part == 0 { (s, 0, cut(n)) } else { (s, cut(n), n) })
            .filter(|(_, from, to)| from < to)
            .collect();
        let chunks: Vec<Chunk<'_>> = spans
            .iter()
            .map(|&(s, from, to)| Chunk {
                ids: &ids[from..to],
                visual: &none[from..to],
                start: from,
                pages: &tables[s],
                rope: &ropes[s][from * heads.size..to * heads.size],
                ..Chunk::default()
            })
            .collect();
        let packed = Batch::pack(&chunks, 1);
        let width = heads.qkv_width();
        let qkv: Vec<f32> =
            spans.iter().flat_map(|&(s, from, to)| qkvs[s][from * width..to * width].to_vec()).collect();
        let mut job = packed.job(slots, 0);
        job.input("qkv", bytemuck::cast_slice(&qkv)).read("q").read("y").read("map");
        let out = run(&mut backend, &graph, Fusions::ALL, &job);
        let (q, y, map) = (out["q"].f32s(), out["y"].f32s(), out["map"].f32s());
        let mut row = 0;
        for (s, from, to) in spans {
            let width = heads.query_width();
            let part = row * width..(row + to - from) * width;
            got[s].0.extend(&q[part.clone()]);
            got[s].1.extend(&y[part]);
            got[s].2.extend(map.chunks(packed.context).skip(row).take(to - from).map(<[f32]>::to_vec));
            row += to - from;
        }
    }
    for (s, &n) in lengths.iter().enumerate() {
        let want = dense(heads, layout, dtype, &qkvs[s], &ropes[s]);
        let (q, y, map) = &got[s];
        assert!(nmse(q, &want.q) <= 1e-10);
        // An element between two integers may go to either when its last bit differs.
        let limit = if dtype == DType::I8 { 1e-7 } else { 1e-10 };
        let error = nmse(y, &want.y);
        assert!(error <= limit, "{heads:?} {dtype} {n} rows: {error:e}");
        for (row, (got, want)) in map.iter().zip(&want.map).enumerate() {
            assert!(nmse(&got[..=row], &want[..=row]) <= limit);
            assert!(got[row + 1..].iter().all(|&p| p == 0.0), "nothing beyond the position");
        }
    }
}

#[test]
fn rope_writes_keys_and_values_to_their_slots_only() {
    let heads = Heads { query: 4, kv: 2, size: 6 };
    let graph = graph(heads, QkvLayout::Grouped, DType::F32);
    let mut backend = exact();
    let slots = 5 * PAGE_SIZE;
    allocate(&mut backend, &graph, &Axes::new().with(Axis::KvSlots, slots));
    let sentinel = vec![123.0_f32; slots * heads.kv_width()];
    backend.write_state("v", bytemuck::cast_slice(&sentinel)).unwrap();
    let qkv = floats(&mut rng(1), 2 * heads.qkv_width());
    let infos = [
        RowInfo { id: 0, kv_slot: 37, position: 0, sequence: 0 },
        RowInfo { id: 0, kv_slot: 3, position: 0, sequence: 1 },
    ];
    let rope = angles(6, 2);
    let mut job = Job::new(
        Axes::new()
            .with(Axis::Rows, 2)
            .with(Axis::KvSlots, slots)
            .with(Axis::Sequences, 2)
            .with(Axis::PagesPerSequence, 1)
            .with(Axis::QueryBlocks, 2)
            .with(Axis::Context, 1),
    );
    job.input("qkv", bytemuck::cast_slice(&qkv)).input(batch::ROWS, bytemuck::cast_slice(&infos));
    job.input(batch::ROPE, bytemuck::cast_slice(&rope));
    job.input(batch::PAGE_TABLE, bytemuck::cast_slice(&[2_u32, 0]));
    job.input(batch::QUERY_BLOCKS, bytemuck::cast_slice(&[0_u32, 1, 1, 1]));
    run(&mut backend, &graph, Fusions::ALL, &job);
    let v = pollster::block_on(backend.read_state("v")).unwrap().f32s();
    for (slot, got) in v.chunks(heads.kv_width()).enumerate() {
        let Some(row) = infos.iter().position(|i| i.kv_slot as usize == slot) else {
            assert!(got.iter().all(|&v| v == 123.0), "slot {slot} stays as it was");
            continue;
        };
        for head in 0..2 {
            let from = row * heads.qkv_width() + QkvLayout::Grouped.value(&heads, head);
            assert_eq!(got[head * 6..][..6], qkv[from..from + 6]);
        }
    }
}

#[test]
fn attention_with_huge_scores_stays_finite() {
    let heads = Heads { query: 2, kv: 1, size: 8 };
    let graph = graph(heads, QkvLayout::Grouped, DType::F32);
    for rows in [1, 40] {
        let mut backend = exact();
        let slots = 3 * PAGE_SIZE;
        allocate(&mut backend, &graph, &Axes::new().with(Axis::KvSlots, slots));
        let mut qkv = floats(&mut rng(1), rows * heads.qkv_width());
        qkv.iter_mut().for_each(|v| *v *= 1e5);
        let (ids, none, rope) = (vec![0; rows], vec![NO_VISUAL; rows], angles(8, rows));
        let chunk = Chunk { ids: &ids, visual: &none, pages: &[0, 1, 2], rope: &rope, ..Chunk::default() };
        let packed = Batch::pack(&[chunk], 1);
        let mut job = packed.job(slots, 0);
        job.input("qkv", bytemuck::cast_slice(&qkv)).read("y");
        let out = run(&mut backend, &graph, Fusions::ALL, &job);
        close(&out["y"], &dense(heads, QkvLayout::Grouped, DType::F32, &qkv, &rope).y, 1e-6);
    }
}

#[test]
fn tile_attention_equals_its_formula() {
    for (tiles, n, heads, d) in
        [(0, 5, 1, 2), (1, 1, 1, 1), (2, 7, 3, 5), (1, 65, 2, 16), (3, 130, 4, 7), (1, 257, 1, 64)]
    {
        let width = heads * d;
        let mut g = GraphBuilder::new("tile attention");
        let x = g.input("x", DType::F32, [Axis::Tiles.into(), n.into(), (3 * width).into()]);
        let y = g.push("y", ops::TileAttention { heads, scale: 0.4 }, &[x]).unwrap();
        g.output("y", y).unwrap();
        let x = floats(&mut rng(n as u64), tiles * n * 3 * width);
        let mut job = Job::new(rows_axes(tiles));
        job.input("x", bytemuck::cast_slice(&x)).read("y");
        let out = run(&mut exact(), &g.finish(), Fusions::ALL, &job);
        let x = wide(&x);
        let mut want = vec![0.0; tiles * n * width];
        let at = |tile: usize, row: usize, which: usize, head: usize| {
            &x[(tile * n + row) * 3 * width + which * width + head * d..][..d]
        };
        for (tile, head, row) in
            (0..tiles).flat_map(|t| (0..heads).flat_map(move |h| (0..n).map(move |r| (t, h, r))))
        {
            let score =
                |t: usize| at(tile, row, 0, head).iter().zip(at(tile, t, 1, head)).map(|(a, b)| a * b);
            let mut p: Vec<f64> = (0..n).map(|t| f64::from(0.4_f32) * score(t).sum::<f64>()).collect();
            softmax(&mut p);
            for (t, p) in p.iter().enumerate() {
                let to = &mut want[(tile * n + row) * width + head * d..][..d];
                to.iter_mut().zip(at(tile, t, 2, head)).for_each(|(y, v)| *y += p * v);
            }
        }
        close(&out["y"], &want, 1e-10);
    }
}
